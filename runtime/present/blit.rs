//! Shows a picture in a window of any size.

use glam::{Mat4, UVec2};
use input::Frame;

/// How a picture is brought to the window's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Each pixel a sharp rectangle.
    Nearest,
    /// Catmull-Rom interpolation.
    Smooth,
}

impl Scaling {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Nearest => Self::Smooth,
            Self::Smooth => Self::Nearest,
        }
    }
}

/// Brings the quad (-1..1) to the largest centred place of the picture's shape in the window.
pub fn placement(picture: UVec2, window: UVec2) -> Mat4 {
    let (picture, window) = (picture.max(UVec2::ONE).as_vec2(), window.max(UVec2::ONE).as_vec2());
    let scale = (window / picture).min_element();
    Mat4::from_scale((picture * scale / window).extend(1.0))
}

/// The picture's texture and how to draw it.
#[derive(Debug)]
pub(super) struct Blit {
    pipeline: wgpu::RenderPipeline,
    uniform: wgpu::Buffer,
    texture_format: wgpu::TextureFormat,
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    texture: wgpu::Texture,
    bindings: wgpu::BindGroup,
}

/// Bytes of `Placement` in the shader: a matrix, one word, padding to 16.
const UNIFORM_BYTES: u64 = 80;

impl Blit {
    /// Makes the pipeline for a target of format `target`.
    pub(super) fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let shader = device.create_shader_module(wgpu::include_wgsl!("blit.wgsl"));
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("blit"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &shader,
                entry_point: Some("quad"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState {
                topology: wgpu::PrimitiveTopology::TriangleStrip,
                ..wgpu::PrimitiveState::default()
            },
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &shader,
                entry_point: Some("show"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(target.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("placement"),
            size: UNIFORM_BYTES,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // Bytes go through unchanged: decoded on reading exactly when the target encodes them.
        let texture_format = match target.is_srgb() {
            true => wgpu::TextureFormat::Rgba8UnormSrgb,
            false => wgpu::TextureFormat::Rgba8Unorm,
        };
        Self { pipeline, uniform, texture_format, picture: None }
    }

    /// Puts a frame into the texture. A frame without pixels, or too few, is left out.
    pub(super) fn upload(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, frame: &Frame) {
        let size = UVec2::new(frame.width, frame.height);
        let complete = frame.pixels.len() == Frame::byte_count(frame.width, frame.height);
        if size.min_element() == 0 || !complete {
            return;
        }
        if self.picture.as_ref().is_none_or(|picture| picture.size() != size) {
            self.picture = Some(self.make_picture(device, size));
        }
        let Some(picture) = &self.picture else { return };
        // Graphics cards know no three-byte pixels.
        let rgba: Vec<u8> =
            frame.pixels.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], u8::MAX]).collect();
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(size.x * 4),
            rows_per_image: None,
        };
        let texture = &picture.texture;
        queue.write_texture(texture.as_image_copy(), &rgba, layout, texture.size());
    }

    /// Says where and how the picture is drawn, for a window of `window` pixels.
    pub(super) fn place(&self, queue: &wgpu::Queue, window: UVec2, scaling: Scaling) {
        let Some(picture) = &self.picture else { return };
        let matrix = placement(picture.size(), window).to_cols_array();
        let mut bytes: Vec<u8> = matrix.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.extend(u32::from(scaling == Scaling::Smooth).to_le_bytes());
        bytes.resize(80, 0);
        queue.write_buffer(&self.uniform, 0, &bytes);
    }

    /// Draws the picture, if there is one yet.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'_>) {
        let Some(picture) = &self.picture else { return };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &picture.bindings, &[]);
        pass.draw(0..4, 0..1);
    }

    fn make_picture(&self, device: &wgpu::Device, size: UVec2) -> Picture {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width: size.x, height: size.y, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: self.texture_format,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("blit"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.uniform.as_entire_binding() },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&view),
                },
            ],
        });
        Picture { texture, bindings }
    }
}

impl Picture {
    fn size(&self) -> UVec2 {
        UVec2::new(self.texture.width(), self.texture.height())
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec4;

    use super::*;

    #[track_caller]
    fn check(picture: (u32, u32), window: (u32, u32), corner: (f32, f32)) {
        let matrix = placement(picture.into(), window.into());
        let got = matrix * Vec4::new(1.0, 1.0, 0.0, 1.0);
        assert!((got.x - corner.0).abs() < 1e-6 && (got.y - corner.1).abs() < 1e-6, "{got}");
    }

    #[test]
    fn the_picture_keeps_its_shape_and_touches_two_sides() {
        check((128, 96), (640, 480), (1.0, 1.0));
        check((128, 96), (1280, 480), (0.5, 1.0));
        check((128, 96), (640, 960), (1.0, 0.5));
        check((100, 100), (50, 25), (0.5, 1.0));
    }

    #[test]
    fn a_window_without_area_is_no_division_by_zero() {
        assert!(placement(UVec2::new(128, 96), UVec2::ZERO).is_finite());
        assert!(placement(UVec2::ZERO, UVec2::new(3, 3)).is_finite());
    }
}
