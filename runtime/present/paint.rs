//! Draws the overlay's shapes on the window's surface.

use std::time::Duration;

use egui::{Context, RawInput, ViewportId};
use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor};
use glam::UVec2;

/// egui and its renderer. It is only drawn, never clicked: all keys belong to the walk.
pub(super) struct Paint {
    ctx: Context,
    renderer: Renderer,
}

/// An overlay laid out and turned into triangles.
pub(super) struct Painted {
    triangles: Vec<egui::ClippedPrimitive>,
    textures: egui::TexturesDelta,
    screen: ScreenDescriptor,
    /// The overlay is not settled: egui measures new panels once before it shows them.
    pub(super) unsettled: bool,
}

/// The window as the overlay sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    /// Size in pixels.
    pub(super) size: UVec2,
    /// Pixels for each point.
    pub(super) scale: f32,
    /// Time of the walk.
    pub(super) now: Duration,
}

impl Paint {
    /// Makes the renderer for a surface of format `target`.
    pub(super) fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let renderer = Renderer::new(device, target, RendererOptions::default());
        Self { ctx: Context::default(), renderer }
    }

    /// Lays the overlay out.
    pub(super) fn lay_out(&self, canvas: Canvas, mut show: impl FnMut(&Context)) -> Painted {
        let size = canvas.size.as_vec2() / canvas.scale;
        let mut input = RawInput {
            screen_rect: Some(egui::Rect::from_min_size(
                egui::Pos2::ZERO,
                egui::vec2(size.x, size.y),
            )),
            time: Some(canvas.now.as_secs_f64()),
            ..RawInput::default()
        };
        let viewport = input.viewports.entry(ViewportId::ROOT).or_default();
        viewport.native_pixels_per_point = Some(canvas.scale);
        let output = self.ctx.run_ui(input, |ui| show(ui.ctx()));
        let viewport = output.viewport_output.get(&ViewportId::ROOT);
        Painted {
            unsettled: viewport.is_some_and(|viewport| viewport.repaint_delay.is_zero()),
            triangles: self.ctx.tessellate(output.shapes, output.pixels_per_point),
            textures: output.textures_delta,
            screen: ScreenDescriptor {
                size_in_pixels: canvas.size.to_array(),
                pixels_per_point: output.pixels_per_point,
            },
        }
    }

    /// Brings textures and triangles to the device. Must come before [`Self::draw`].
    pub(super) fn upload(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        encoder: &mut wgpu::CommandEncoder,
        painted: &mut Painted,
    ) {
        for (id, deltas) in sorted(std::mem::take(&mut painted.textures.set)) {
            for delta in deltas {
                self.renderer.update_texture(device, queue, id, &delta);
            }
        }
        let Painted { triangles, screen, .. } = painted;
        self.renderer.update_buffers(device, queue, encoder, triangles, screen);
    }

    /// Draws what was uploaded.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'static>, painted: &Painted) {
        self.renderer.render(pass, &painted.triangles, &painted.screen);
    }

    /// Frees textures that were last used by this drawing.
    pub(super) fn free(&mut self, mut painted: Painted) {
        for (id, ()) in sorted(painted.textures.free.drain().map(|id| (id, ()))) {
            self.renderer.free_texture(&id);
        }
    }
}

/// Entries of a hash table in the order of their textures, so that no run depends on hashing.
fn sorted<T>(entries: impl IntoIterator<Item = (egui::TextureId, T)>) -> Vec<(egui::TextureId, T)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(id, _)| *id);
    entries
}
