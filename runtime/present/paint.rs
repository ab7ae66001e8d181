//! Draws the overlay's and the pages' shapes on the window's surface.

use std::time::Duration;

use egui::{Context, ViewportId};
use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor};
use glam::UVec2;
use winit::event::WindowEvent;
use winit::window::Window;

use super::palette;

/// The window in points at which everything has its plain size; others are enlarged or shrunk a little.
const PLAIN: (f32, f32) = (640.0, 480.0);

/// Least that everything is laid out for, in points; a smaller window shows a part of it.
const LEAST: egui::Vec2 = egui::vec2(200.0, 150.0);

/// egui, what it hears from the window, and its renderer.
pub(super) struct Paint {
    ctx: Context,
    heard: egui_winit::State,
    renderer: Renderer,
}

/// An overlay laid out and turned into triangles.
pub(super) struct Painted {
    triangles: Vec<egui::ClippedPrimitive>,
    textures: egui::TexturesDelta,
    screen: ScreenDescriptor,
    /// When it wants to be drawn again at the latest: at once after new panels, which are measured before they show.
    pub(super) again_in: Option<Duration>,
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
    pub(super) fn new(device: &wgpu::Device, target: wgpu::TextureFormat, window: &Window) -> Self {
        let renderer = Renderer::new(device, target, RendererOptions::default());
        let ctx = Context::default();
        palette::dress(&ctx);
        let largest = usize::try_from(device.limits().max_texture_dimension_2d).ok();
        let heard =
            egui_winit::State::new(ctx.clone(), ViewportId::ROOT, window, None, None, largest);
        Self { ctx, heard, renderer }
    }

    /// Lets an open page hear what happened in the window.
    pub(super) fn hear(&mut self, window: &Window, event: &WindowEvent) {
        let _ = self.heard.on_window_event(window, event);
    }

    /// Lets the open page hear a key that nobody pressed on a keyboard, down and up.
    pub(super) fn type_key(&mut self, key: egui::Key) {
        let events = &mut self.heard.egui_input_mut().events;
        events.extend([true, false].map(|pressed| egui::Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers: egui::Modifiers::NONE,
        }));
    }

    /// Whether the pointer is dragging something, so that changes are not over.
    pub(super) fn dragging(&self) -> bool {
        self.ctx.egui_is_using_pointer()
    }

    /// Lays the overlay out; with a page open, the pointer's shape is the page's too.
    pub(super) fn lay_out(
        &mut self,
        canvas: Canvas,
        (window, paged): (&Window, bool),
        mut show: impl FnMut(&mut egui::Ui),
    ) -> Painted {
        self.ctx.set_zoom_factor(zoom(canvas));
        let mut input = self.heard.take_egui_input(window);
        let viewport = input.viewports.entry(ViewportId::ROOT).or_default();
        viewport.native_pixels_per_point = Some(canvas.scale);
        input.time = Some(canvas.now.as_secs_f64());
        // In a window of a few pixels nothing would be left between margins, which egui takes for a fault.
        let offered = input.screen_rect.map_or(egui::Vec2::ZERO, |rect| rect.size());
        input.screen_rect = Some(egui::Rect::from_min_size(egui::Pos2::ZERO, offered.max(LEAST)));
        let output = self.ctx.run_ui(input, |ui| show(ui));
        if paged {
            self.heard.handle_platform_output(window, output.platform_output);
        }
        let viewport = output.viewport_output.get(&ViewportId::ROOT);
        let again_in = viewport.map(|viewport| viewport.repaint_delay);
        Painted {
            again_in: again_in.filter(|delay| *delay < Duration::MAX),
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

/// How much larger than plain everything is: with the window, within limits that stay readable.
fn zoom(canvas: Canvas) -> f32 {
    let points = canvas.size.as_vec2() / canvas.scale;
    (points.x / PLAIN.0).min(points.y / PLAIN.1).clamp(0.7, 1.6)
}

/// Entries of a hash table in the order of their textures, so that no run depends on hashing.
fn sorted<T>(entries: impl IntoIterator<Item = (egui::TextureId, T)>) -> Vec<(egui::TextureId, T)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(id, _)| *id);
    entries
}
