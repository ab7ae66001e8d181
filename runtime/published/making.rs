//! The making of a video, and what is seen of it meanwhile.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use engine::adapter::Adapter;
use engine::device::Device;
use engine::framepack::check::Model;
use engine::framepack::film::{Film, Picture, Script, Shot};
use engine::framepack::kept;
use engine::framepack::memory::MemoryPlan;
use engine::framepack::network::{Network, missing_embedders, weights};
use engine::framepack::told::{Eye, open_vae, read_prompts};
use engine::framepack::window::Order;
use indicatif::{ProgressBar, ProgressStyle};
use input::VideoWriter;

use super::request::Request;
use super::settings::Kept;
use crate::train::picture::write_strip;
use crate::video::VideoArgs;

/// Pictures that show a section.
const SHOWN: usize = 8;

/// A video in the making, with its folder.
pub(super) struct Making {
    film: Film,
    kept: Kept,
    order: Order,
    size: (u32, u32),
    fps: f32,
    steps: u32,
    device: Device,
}

impl Making {
    /// Reads the prompts, looks at the pictures and opens the network.
    ///
    /// # Errors
    /// A file of the model is damaged, or the adapter does not fit.
    pub(super) fn begin(
        model: Model,
        folder: &Path,
        args: &VideoArgs,
        request: &Request,
        plan: &MemoryPlan,
        device: &Device,
        kept: Kept,
    ) -> Result<Self> {
        let texts: Vec<&str> = request.texts.iter().map(String::as_str).collect();
        eprintln!("reading the prompt");
        let texts = read_prompts(model, folder, &texts, device)?;
        let eye = Eye::open(model, folder, device)?;
        let states = request.pictures.iter().map(|picture| eye.look(picture));
        let states = states.collect::<Result<Vec<_>, _>>()?;
        drop(eye);
        let vae = open_vae(model, folder, device)?;
        let mut pictures = Vec::new();
        for (frame, states) in request.pictures.iter().zip(states) {
            let latent = vae.encode_frames(std::slice::from_ref(frame), device)?;
            pictures.push(Picture { latent, states });
        }
        let network = network(model, folder, args.published.adapter.as_deref(), plan, device)?;
        let given = |number: &usize| pictures[*number].clone();
        let outline = &request.outline;
        let shot = |(picture, sections): &(Option<usize>, usize)| Shot {
            start: picture.as_ref().map(given),
            sections: *sections,
        };
        let (width, height) = request.size;
        let script = Script {
            order: request.order,
            frames: request.frames(),
            latent: (network.channels(), height as usize / 8, width as usize / 8),
            shots: outline.shots.iter().map(shot).collect(),
            end: outline.end.as_ref().map(given),
            prompts: outline.texts.iter().map(|&number| texts[number].clone()).collect(),
        };
        Ok(Self {
            film: Film::new(script, request.drawing, network, vae, device)?,
            kept,
            order: request.order,
            size: request.size,
            fps: request.fps,
            steps: request.drawing.steps,
            device: device.clone(),
        })
    }

    /// Makes what is left, section by section: each is kept, shown and added to the video as soon as it is made.
    ///
    /// # Errors
    /// A file cannot be written, or one of a section is damaged.
    pub(super) fn go_on(&mut self) -> Result<()> {
        let sections = self.film.sections();
        let bar = ProgressBar::new(sections as u64 * u64::from(self.steps));
        bar.set_style(ProgressStyle::with_template(
            "{bar:40} {pos}/{len} evaluations, {eta} left, {msg}",
        )?);
        while self.film.made() < sections {
            let number = self.film.made() + 1;
            let path = self.kept.section(number, "safetensors");
            bar.set_message(format!("section {number} of {sections}"));
            let latents = if let Some(latents) = kept::load(&path, &self.kept.mark, &self.device)? {
                bar.inc(u64::from(self.steps));
                bar.reset_eta();
                latents
            } else {
                let latents = self.film.draw(&mut || bar.inc(1))?;
                kept::save(&path, &latents, &self.kept.mark)
                    .with_context(|| format!("write {}", path.display()))?;
                latents
            };
            let fresh = self.film.take(&latents)?;
            let shown = self.show(number, fresh)?;
            let text = format!("section {number} of {sections}: {shown}");
            if bar.is_hidden() { eprintln!("{text}") } else { bar.println(text) }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Seconds of the video.
    pub(super) fn seconds(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "an hour has some hundred thousand pictures"
        )]
        let pictures = self.film.pictures().len() as f64;
        pictures / f64::from(self.fps)
    }

    /// Writes the newest pictures as a strip, and the video as far as it is made; answers where the strip is.
    fn show(&self, number: usize, fresh: usize) -> Result<String> {
        let pictures = self.film.pictures();
        let first = match self.order {
            Order::Forward => pictures.len() - fresh,
            Order::Inverted => 0,
        };
        let at = |place: usize| &pictures[first + place * (fresh - 1) / (SHOWN - 1)].pixels[..];
        let strip = self.kept.section(number, "png");
        write_strip(&strip, &[(0..SHOWN).map(at).collect()], self.size)?;
        let path = self.kept.video();
        let unfinished = path.with_extension("partial");
        let mut writer = VideoWriter::create(&unfinished, self.size.0, self.size.1, self.fps)?;
        for picture in pictures {
            writer.push(&picture.pixels)?;
        }
        writer.finish()?;
        fs::rename(&unfinished, &path).with_context(|| format!("write {}", path.display()))?;
        Ok(strip.display().to_string())
    }
}

/// The network, as much of it in memory as is planned, with the adapter on.
fn network(
    model: Model,
    folder: &Path,
    adapter: Option<&Path>,
    plan: &MemoryPlan,
    device: &Device,
) -> Result<Network> {
    let mut weights = weights(model, folder, device)?;
    let mut adapter = adapter.map(|path| Adapter::open(path, device)).transpose()?;
    if let Some(adapter) = &adapter {
        weights = weights.with(Arc::new(adapter.clone()));
    }
    let missing = missing_embedders(model, &weights)?;
    if !missing.is_empty() {
        eprintln!(
            "the network has no projections of packed history: they are made of its own one, untrained"
        );
        let own = adapter.take().unwrap_or_default().with_own(missing);
        weights = weights.with(Arc::new(own));
    }
    Ok(Network::open(model, folder, &weights, plan.residence)?)
}
