//! The window's surface and the device that draws on it.

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use glam::UVec2;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// A surface with its device, configured for the window's size.
#[derive(Debug)]
pub(super) struct Gpu {
    /// What draws.
    pub(super) device: wgpu::Device,
    /// Where commands go.
    pub(super) queue: wgpu::Queue,
    /// Whether the "GPU" is the processor itself.
    pub(super) is_software: bool,
    /// The adapter's name and interface, for people.
    pub(super) name: String,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    trouble: Trouble,
}

/// The first thing that went wrong with a device, for good. Clones share it.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<OnceLock<String>>);

impl Trouble {
    /// Hears of what goes wrong with `device`; without anybody to hear of it, it would be a panic.
    fn of(device: &wgpu::Device) -> Self {
        let trouble = Self::default();
        let (lost, wrong) = (trouble.clone(), trouble.clone());
        // The first to be told counts.
        device.set_device_lost_callback(move |reason, words| {
            _ = lost.0.set(format!("the graphics device is gone ({reason:?}): {words}"));
        });
        device.on_uncaptured_error(Arc::new(move |error| {
            _ = wrong.0.set(format!("the graphics driver failed: {error}"));
        }));
        trouble
    }

    /// Fails once anything has gone wrong.
    fn check(&self) -> Result<()> {
        match self.0.get() {
            // One line, whatever the driver's words are.
            Some(words) => bail!("{}", words.split_whitespace().collect::<Vec<_>>().join(" ")),
            None => Ok(()),
        }
    }
}

impl Gpu {
    /// Finds a device that can draw on `window`.
    ///
    /// # Errors
    /// When there is no graphics driver, not even a software one.
    pub(super) fn new(window: &Arc<Window>, display: OwnedDisplayHandle) -> Result<Self> {
        let instance = wgpu::Instance::new(
            wgpu::InstanceDescriptor::new_with_display_handle_from_env(Box::new(display)),
        );
        let surface = instance.create_surface(Arc::clone(window)).context(
            "no graphics driver was found (Debian: mesa-vulkan-drivers draws on any processor)",
        )?;
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            compatible_surface: Some(&surface),
            ..wgpu::RequestAdapterOptions::default()
        }))
        .context("no graphics adapter can draw on this window")?;
        let limits = wgpu::Limits::downlevel_defaults().using_resolution(adapter.limits());
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        }))
        .context("the graphics adapter gave no device")?;
        let trouble = Trouble::of(&device);
        let size = window.inner_size();
        let config = configuration(&surface, &adapter, UVec2::new(size.width, size.height))?;
        surface.configure(&device, &config);
        let info = adapter.get_info();
        Ok(Self {
            device,
            queue,
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            name: format!("{} ({:?})", info.name, info.backend),
            surface,
            config,
            trouble,
        })
    }

    /// Format of the surface.
    pub(super) fn format(&self) -> wgpu::TextureFormat {
        self.config.format
    }

    /// Size of the surface in pixels.
    pub(super) fn size(&self) -> UVec2 {
        UVec2::new(self.config.width, self.config.height)
    }

    /// Follows the window to a new size.
    pub(super) fn resize(&mut self, size: UVec2) {
        let size = size.max(UVec2::ONE);
        self.config.width = size.x;
        self.config.height = size.y;
        self.surface.configure(&self.device, &self.config);
    }

    /// Next texture to draw on; `None` where the window shows nothing just now.
    ///
    /// # Errors
    /// When the surface or the device is lost for good.
    pub(super) fn next_texture(&self) -> Result<Option<wgpu::SurfaceTexture>> {
        use wgpu::CurrentSurfaceTexture as Next;
        self.trouble.check()?;
        // A surface that is out of date is configured anew and asked once more.
        for _ in 0..2 {
            match self.surface.get_current_texture() {
                Next::Success(texture) | Next::Suboptimal(texture) => return Ok(Some(texture)),
                Next::Timeout | Next::Occluded => return Ok(None),
                Next::Outdated | Next::Lost => self.surface.configure(&self.device, &self.config),
                Next::Validation => bail!("the graphics driver refused the surface"),
            }
        }
        Ok(None)
    }
}

fn configuration(
    surface: &wgpu::Surface<'_>,
    adapter: &wgpu::Adapter,
    size: UVec2,
) -> Result<wgpu::SurfaceConfiguration> {
    let size = size.max(UVec2::ONE);
    let mut config = surface
        .get_default_config(adapter, size.x, size.y)
        .context("the graphics adapter cannot show anything in this window")?;
    let offered = surface.get_capabilities(adapter);
    // Pictures and text are bytes in sRGB already; a plain format passes them through.
    if let Some(plain) = offered.formats.iter().find(|format| {
        matches!(format, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Rgba8Unorm)
    }) {
        config.format = *plain;
    }
    // The newest picture wins where the system can do that, without tearing.
    config.present_mode = match offered.present_modes.contains(&wgpu::PresentMode::Mailbox) {
        true => wgpu::PresentMode::Mailbox,
        false => wgpu::PresentMode::Fifo,
    };
    config.desired_maximum_frame_latency = 1;
    Ok(config)
}

/// One line for each graphics adapter there is.
pub fn adapters() -> Vec<String> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_lost_or_refuses_is_told_in_one_line_and_is_no_panic() {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default());
        let Ok(adapter) = pollster::block_on(adapter) else {
            println!("skipped: no graphics adapter, not even a software one");
            return;
        };
        let device = || {
            let descriptor = wgpu::DeviceDescriptor {
                required_limits: wgpu::Limits::downlevel_defaults(),
                ..wgpu::DeviceDescriptor::default()
            };
            pollster::block_on(adapter.request_device(&descriptor)).expect("the adapter gives one")
        };
        // A device whose queue is gone is never told to be lost.
        let (lost, _queue) = device();
        let trouble = Trouble::of(&lost);
        assert!(trouble.check().is_ok());
        lost.destroy();
        // A loss is told when the device is next looked after, as drawing does.
        let _gone = lost.poll(wgpu::PollType::Poll);
        let words = trouble.check().expect_err("it is gone").to_string();
        assert!(words.starts_with("the graphics device is gone (Destroyed)"), "{words}");

        let (asked, _queue) = device();
        let trouble = Trouble::of(&asked);
        // More than any device allows.
        let usage = wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: u64::MAX,
            usage,
            mapped_at_creation: false,
        };
        drop(asked.create_buffer(&descriptor));
        let words = trouble.check().expect_err("it refuses").to_string();
        assert!(
            words.starts_with("the graphics driver failed: ") && !words.contains('\n'),
            "{words}"
        );
    }
}
