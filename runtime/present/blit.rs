//! Shows a picture in a window of any size.

use glam::{Mat4, UVec2};
use input::Frame;

/// How a picture is brought to the window's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Each pixel a sharp rectangle.
    Nearest,
    /// Each pixel a sharp rectangle of one and the same size, its edges smooth where they fall between the window's.
    Crisp,
    /// Catmull-Rom interpolation.
    Smooth,
}

impl Scaling {
    /// The next one, round and round.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Nearest => Self::Crisp,
            Self::Crisp => Self::Smooth,
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
    nearest: wgpu::RenderPipeline,
    crisp: wgpu::RenderPipeline,
    smooth: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    placement: wgpu::Buffer,
    texture_format: wgpu::TextureFormat,
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    texture: wgpu::Texture,
    bindings: wgpu::BindGroup,
}

/// Bytes of a matrix of four by four.
const MATRIX_BYTES: u64 = 64;

impl Blit {
    /// Makes the pipelines for a target of format `target`.
    pub(super) fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let shader = device.create_shader_module(wgpu::include_wgsl!("blit.wgsl"));
        let layout = bind_group_layout(device);
        let placement = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("placement"),
            size: MATRIX_BYTES,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // Bytes go through unchanged: decoded on reading exactly when the target encodes them.
        let texture_format = match target.is_srgb() {
            true => wgpu::TextureFormat::Rgba8UnormSrgb,
            false => wgpu::TextureFormat::Rgba8Unorm,
        };
        let pipeline = |fragment| pipeline(device, &layout, &shader, fragment, target);
        Self {
            nearest: pipeline("nearest"),
            crisp: pipeline("crisp"),
            smooth: pipeline("catmull_rom"),
            layout,
            placement,
            texture_format,
            picture: None,
        }
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

    /// Says where the picture is drawn, for a window of `window` pixels.
    pub(super) fn place(&self, queue: &wgpu::Queue, window: UVec2) {
        let Some(picture) = &self.picture else { return };
        let matrix = placement(picture.size(), window).to_cols_array();
        queue.write_buffer(&self.placement, 0, matrix.map(f32::to_le_bytes).as_flattened());
    }

    /// Draws the picture, if there is one yet.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'_>, scaling: Scaling) {
        let Some(picture) = &self.picture else { return };
        pass.set_pipeline(match scaling {
            Scaling::Nearest => &self.nearest,
            Scaling::Crisp => &self.crisp,
            Scaling::Smooth => &self.smooth,
        });
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
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.placement.as_entire_binding() },
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

fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, visibility, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility,
        ty,
        count: None,
    };
    let placement = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: false,
        min_binding_size: std::num::NonZero::new(MATRIX_BYTES),
    };
    let picture = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: false },
        view_dimension: wgpu::TextureViewDimension::D2,
        multisampled: false,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("blit"),
        entries: &[
            entry(0, wgpu::ShaderStages::VERTEX, placement),
            entry(1, wgpu::ShaderStages::FRAGMENT, picture),
        ],
    })
}

fn pipeline(
    device: &wgpu::Device,
    bindings: &wgpu::BindGroupLayout,
    shader: &wgpu::ShaderModule,
    fragment: &str,
    target: wgpu::TextureFormat,
) -> wgpu::RenderPipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("blit"),
        bind_group_layouts: &[Some(bindings)],
        immediate_size: 0,
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(fragment),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: shader,
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
            module: shader,
            entry_point: Some(fragment),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(target.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
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

    /// Draws `frame` on a target of 4 by 4 pixels with whatever adapter there is.
    fn draw(frame: &Frame, scaling: Scaling) -> Option<Vec<[u8; 4]>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
        let adapter = pollster::block_on(adapter).ok()?;
        let limits = wgpu::Limits::downlevel_defaults().using_resolution(adapter.limits());
        let descriptor =
            wgpu::DeviceDescriptor { required_limits: limits, ..wgpu::DeviceDescriptor::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).ok()?;

        let format = wgpu::TextureFormat::Rgba8Unorm;
        let mut blit = Blit::new(&device, format);
        blit.upload(&device, &queue, frame);
        blit.place(&queue, UVec2::new(4, 4));
        let target = device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width: 4, height: 4, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let view = target.create_view(&wgpu::TextureViewDescriptor::default());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        blit.draw(&mut super::super::screen::begin_pass(&mut encoder, &view), scaling);

        // Rows of a copy begin at multiples of 256 bytes.
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * 256,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(256),
            rows_per_image: None,
        };
        let copy = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(target.as_image_copy(), copy, target.size());
        queue.submit([encoder.finish()]);
        buffer.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let bytes = buffer.slice(..).get_mapped_range().unwrap().to_vec();
        let row = |row: &[u8]| row[..16].as_chunks().0.to_vec();
        Some(bytes.chunks(256).flat_map(row).collect())
    }

    #[test]
    fn pixels_come_out_upright_and_in_their_own_colours() {
        let (a, b, c, d) = ([250, 10, 20], [30, 240, 40], [50, 60, 230], [70, 80, 90]);
        let frame = Frame { width: 2, height: 2, pixels: [a, b, c, d].concat() };
        let Some(drawn) = draw(&frame, Scaling::Nearest) else {
            println!("skipped: no graphics adapter, not even a software one");
            return;
        };
        let [a, b, c, d] = [a, b, c, d].map(|[r, g, b]| [r, g, b, 255]);
        let (upper, lower) = ([a, a, b, b], [c, c, d, d]);
        assert_eq!(drawn, [upper, upper, lower, lower].concat());

        let smooth = draw(&frame, Scaling::Smooth).expect("there was an adapter before");
        assert_ne!(smooth, drawn, "smooth scaling mixes neighbours");
        let flat = draw(&Frame::filled(3, 3, [9, 99, 199]), Scaling::Smooth);
        assert_eq!(flat, Some(vec![[9, 99, 199, 255]; 16]), "the weights add up to one");
    }

    #[test]
    fn crisp_pixels_are_sharp_and_all_of_one_size() {
        let (a, b) = ([200, 0, 0], [0, 0, 200]);
        // Two pixels on four: nothing falls between, and it is as sharp as sharp can be.
        let frame = Frame { width: 2, height: 1, pixels: [a, b].concat() };
        let Some(drawn) = draw(&frame, Scaling::Crisp) else {
            println!("skipped: no graphics adapter, not even a software one");
            return;
        };
        assert_eq!(Some(drawn), draw(&frame, Scaling::Nearest));
        // Three on four: each is four thirds wide, so that its neighbours mix where it ends.
        let grey = |value| [value, value, value];
        let pixels = [grey(0), grey(120), grey(240)].concat();
        let frame = Frame { width: 3, height: 3, pixels: pixels.repeat(3) };
        let drawn = draw(&frame, Scaling::Crisp).expect("there was an adapter before");
        let row: Vec<_> = drawn[4..8].iter().map(|pixel| pixel[0]).collect();
        // Shares of the second pixel in the second of four columns: 2/3; of the third in the third: 1/3.
        for (got, wanted) in row.iter().zip([0_i16, 80, 160, 240]) {
            assert!((i16::from(*got) - wanted).abs() <= 1, "{row:?}");
        }
    }
}
