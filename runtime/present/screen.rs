//! One drawing of the window: the picture below, the overlay above.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use glam::UVec2;
use input::Frame;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

use super::blit::{Blit, Scaling};
use super::gpu::Gpu;
use super::keys;
use super::overlay::Overlay;
use super::paint::{Canvas, Paint};

/// Colour around the picture.
const BORDER: wgpu::Color = wgpu::Color { r: 0.02, g: 0.02, b: 0.03, a: 1.0 };

/// A window and everything that draws on it.
pub(super) struct Screen {
    pub(super) window: Arc<Window>,
    pub(super) scaling: Scaling,
    gpu: Gpu,
    blit: Blit,
    paint: Paint,
}

/// What came of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// The window shows nothing just now.
    Nothing,
    /// Picture and overlay are on the screen.
    Settled,
    /// They are, but the overlay needs another drawing.
    Unsettled,
}

impl Screen {
    /// Prepares to draw on `window`. Without a wish, a processor that draws by itself scales the
    /// cheap way: it has a dream to compute.
    ///
    /// # Errors
    /// When no graphics driver can draw on it.
    pub(super) fn new(
        window: Arc<Window>,
        display: OwnedDisplayHandle,
        scaling: Option<Scaling>,
    ) -> Result<Self> {
        let gpu = Gpu::new(&window, display)?;
        let blit = Blit::new(&gpu.device, gpu.format());
        let paint = Paint::new(&gpu.device, gpu.format());
        let usual = if gpu.is_software { Scaling::Nearest } else { Scaling::Smooth };
        Ok(Self { window, scaling: scaling.unwrap_or(usual), gpu, blit, paint })
    }

    /// Name of what draws.
    pub(super) fn adapter(&self) -> &str {
        &self.gpu.name
    }

    /// Follows the window's size.
    pub(super) fn resize(&mut self, size: UVec2) {
        self.gpu.resize(size);
    }

    /// Takes a new picture to show from the next drawing on.
    pub(super) fn set_picture(&mut self, frame: &Frame) {
        self.blit.upload(&self.gpu.device, &self.gpu.queue, frame);
    }

    /// Draws picture and overlay.
    ///
    /// # Errors
    /// When the graphics driver gives up.
    pub(super) fn draw(&mut self, overlay: &mut Overlay, now: Duration) -> Result<Drawn> {
        let Some(target) = self.gpu.next_texture()? else { return Ok(Drawn::Nothing) };
        #[expect(clippy::cast_possible_truncation, reason = "a scale factor is a small number")]
        let scale = self.window.scale_factor() as f32;
        let canvas = Canvas { size: self.gpu.size(), scale, now };
        let mut painted = self.paint.lay_out(canvas, |ctx| overlay.show(ctx, keys::HELP, now));

        let Gpu { device, queue, .. } = &self.gpu;
        self.blit.place(queue, canvas.size);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.paint.upload(device, queue, &mut encoder, &mut painted);
        let view = target.texture.create_view(&wgpu::TextureViewDescriptor::default());
        {
            let mut pass = begin_pass(&mut encoder, &view);
            self.blit.draw(&mut pass, self.scaling);
            self.paint.draw(&mut pass, &painted);
        }
        queue.submit([encoder.finish()]);
        self.window.pre_present_notify();
        queue.present(target);
        let drawn = if painted.unsettled { Drawn::Unsettled } else { Drawn::Settled };
        self.paint.free(painted);
        Ok(drawn)
    }
}

pub(super) fn begin_pass(
    encoder: &mut wgpu::CommandEncoder,
    view: &wgpu::TextureView,
) -> wgpu::RenderPass<'static> {
    let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        label: Some("screen"),
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations {
                load: wgpu::LoadOp::Clear(BORDER),
                store: wgpu::StoreOp::Store,
            },
        })],
        depth_stencil_attachment: None,
        timestamp_writes: None,
        occlusion_query_set: None,
        multiview_mask: None,
    });
    // egui's renderer asks for a pass that borrows nothing; the encoder outlives it in `draw`.
    pass.forget_lifetime()
}
