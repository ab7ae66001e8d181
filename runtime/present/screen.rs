//! One drawing of the window: the picture below, the overlay above.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use glam::UVec2;
use input::Frame;
use winit::event::WindowEvent;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

use super::blit::{Blit, Scaling};
use super::gpu::Gpu;
use super::paint::{Canvas, Paint};
use crate::settings::PictureScaling;

/// Colour around the picture.
const BORDER: wgpu::Color = wgpu::Color { r: 0.02, g: 0.02, b: 0.03, a: 1.0 };

/// A window and everything that draws on it.
pub(super) struct Screen {
    pub(super) window: Arc<Window>,
    pub(super) scaling: PictureScaling,
    gpu: Gpu,
    blit: Blit,
    paint: Paint,
}

/// What came of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// The window shows nothing just now.
    Nothing,
    /// Picture and overlay are on the screen, and want another drawing after this time, if any.
    Shown(Option<Duration>),
}

impl Screen {
    /// Prepares to draw on `window`.
    ///
    /// # Errors
    /// When no graphics driver can draw on it.
    pub(super) fn new(
        window: Arc<Window>,
        display: OwnedDisplayHandle,
        scaling: PictureScaling,
    ) -> Result<Self> {
        let gpu = Gpu::new(&window, display)?;
        let blit = Blit::new(&gpu.device, gpu.format());
        let paint = Paint::new(&gpu.device, gpu.format(), &window);
        Ok(Self { window, scaling, gpu, blit, paint })
    }

    /// How the picture is scaled. Without a wish, a processor that draws by itself does it the cheap way: it has a
    /// dream to compute.
    pub(super) fn scaled(&self) -> Scaling {
        match self.scaling {
            PictureScaling::Auto if self.gpu.is_software => Scaling::Nearest,
            PictureScaling::Auto | PictureScaling::Smooth => Scaling::Smooth,
            PictureScaling::Nearest => Scaling::Nearest,
            PictureScaling::Crisp => Scaling::Crisp,
        }
    }

    /// Lets an open page hear what happened in the window.
    pub(super) fn hear(&mut self, event: &WindowEvent) {
        self.paint.hear(&self.window, event);
    }

    /// Lets an open page hear a key that stands for a part of a gamepad.
    pub(super) fn type_key(&mut self, key: egui::Key) {
        self.paint.type_key(key);
    }

    /// Whether the pointer is dragging something on a page.
    pub(super) fn dragging(&self) -> bool {
        self.paint.dragging()
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

    /// Draws the picture and what `show` lays over it: a page too, when `paged`.
    ///
    /// # Errors
    /// When the graphics driver gives up.
    pub(super) fn draw(
        &mut self,
        now: Duration,
        paged: bool,
        show: impl FnMut(&mut egui::Ui),
    ) -> Result<Drawn> {
        let Some(target) = self.gpu.next_texture()? else { return Ok(Drawn::Nothing) };
        #[expect(clippy::cast_possible_truncation, reason = "a scale factor is a small number")]
        let scale = self.window.scale_factor() as f32;
        let canvas = Canvas { size: self.gpu.size(), scale, now };
        let scaling = self.scaled();
        let mut painted = self.paint.lay_out(canvas, (&self.window, paged), show);

        let Gpu { device, queue, .. } = &self.gpu;
        self.blit.place(queue, canvas.size);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.paint.upload(device, queue, &mut encoder, &mut painted);
        let view = target.texture.create_view(&wgpu::TextureViewDescriptor::default());
        {
            let mut pass = begin_pass(&mut encoder, &view);
            self.blit.draw(&mut pass, scaling);
            self.paint.draw(&mut pass, &painted);
        }
        queue.submit([encoder.finish()]);
        self.window.pre_present_notify();
        queue.present(target);
        let drawn = Drawn::Shown(painted.again_in);
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
