//! dev
#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used, unsafe_code)]
use candle_core::*;
use engine::{model::*, train::*};
use std::time::Instant;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let out = std::env::args().nth(2).unwrap();
    std::fs::create_dir_all(&out).unwrap();
    let mut eps = vec![];
    if dir == "random" {
        for i in 0..3 {
            let x = Tensor::from_vec(
                engine::noise::Random::new(i, 0).normals(400 * 3072),
                (400, 16, 12, 16),
                &Device::Cpu,
            )
            .unwrap();
            let a = Tensor::zeros((400, 4), DType::F32, &Device::Cpu).unwrap();
            eps.push(LatentEpisode::new(&x, &a).unwrap());
        }
    } else {
        let mut fs: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
        fs.sort();
        for f in fs {
            eps.push(LatentEpisode::load(&f).unwrap());
        }
    }
    println!("{} episodes {} frames", eps.len(), eps.iter().map(|e| e.frames()).sum::<usize>());
    let steps = std::env::var("STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(100000u32);
    let t = WorldTraining {
        steps,
        seed: std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0),
        clips: std::env::var("CLIPS").ok().and_then(|s| s.parse().ok()).unwrap_or(4),
        cooldown: std::env::var("COOL").ok().and_then(|s| s.parse().ok()).unwrap_or(0.2),
        ..Default::default()
    };
    let mut tr = WorldTrainer::new(&ModelConfig::base(), t, eps, None, &Device::Cpu).unwrap();
    let ck = std::path::PathBuf::from(format!("{out}/checkpoint.safetensors"));
    if ck.exists() {
        tr.restore(&Checkpoint::load(&ck, &Device::Cpu).unwrap()).unwrap();
        println!("resumed {}", tr.steps());
    }
    let (mut l, mut n, mut fr, mut t0, mut save) = (0f32, 0, 0, Instant::now(), Instant::now());
    let max: u32 = std::env::args().nth(3).and_then(|s| s.parse().ok()).unwrap_or(u32::MAX);
    let mut done = 0;
    let mut gr = 0f64;
    while tr.steps() < steps && done < max {
        let s = tr.step().unwrap();
        l += s.loss;
        n += 1;
        fr += s.frames;
        done += 1;
        gr += s.gradient;
        if n == 25 || max < 50 {
            println!(
                "{} loss {:.4} grad {:.2} samples/s {:.1}",
                tr.steps(),
                l / n as f32,
                gr / n as f64,
                fr as f64 / t0.elapsed().as_secs_f64()
            );
            l = 0.;
            n = 0;
            fr = 0;
            gr = 0.;
            t0 = Instant::now();
        }
        if save.elapsed().as_secs() > 240 {
            tr.checkpoint().unwrap().save(&ck).unwrap();
            save = Instant::now();
        }
    }
    tr.checkpoint().unwrap().save(&ck).unwrap();
}
