//! The benchmark against a stand-in whose arms are known to differ.

use std::collections::BTreeMap;

use input::ActionLayout;

use super::*;

const WIDTH: u32 = 12;
const HEIGHT: u32 = 12;
const OUT: usize = 60;

/// Out along a line and a full turn back: frame `t` of the way out is seen again at `2 · OUT - t`.
fn poses() -> Vec<Pose> {
    let place = |t: usize| if t <= OUT { t } else { 2 * OUT - t.min(2 * OUT) };
    (0..2 * OUT + 8).map(|t| Pose { x: place(t) as f32 * 4.0, y: 0.0, yaw: 0.0 }).collect()
}

fn view(pose: Pose) -> Vec<u8> {
    let place = pose.x.to_bits() >> 16;
    let level = |i: u32| u8::try_from((i * 31 + place * 7) % 251).unwrap();
    (0..WIDTH * HEIGHT * 3).map(level).collect()
}

/// Shows the game under the hybrid, and under other arms as many levels too bright as they are worse.
#[derive(Default)]
struct StandIn {
    arm: Option<Arm>,
    legs: usize,
    asked: BTreeMap<String, usize>,
}

impl Revisit for StandIn {
    fn go_out(&mut self, frames: &[&[u8]], actions: &[Action], poses: &[Pose]) -> Result<()> {
        assert_eq!((frames.len(), frames.len()), (actions.len(), poses.len()));
        assert_eq!(frames.last(), Some(&&view(poses[poses.len() - 1])[..]));
        (self.arm, self.legs) = (None, self.legs + 1);
        Ok(())
    }

    fn turn_back(&mut self, arm: Arm) -> Result<()> {
        self.arm = Some(arm);
        Ok(())
    }

    fn next(&mut self, _: &Action, pose: Pose) -> Result<Vec<u8>> {
        let arm = self.arm.context("it turned back")?;
        *self.asked.entry(format!("{arm:?}")).or_default() += 1;
        let wrong = match arm {
            Arm::Hybrid => 0,
            Arm::Reckoned => 1,
            Arm::Preview => 2,
            Arm::Cosine | Arm::Pose => 4,
            Arm::Restarted => 8,
            Arm::Time => 16,
            Arm::None => 64,
        };
        Ok(view(pose).into_iter().map(|level| level.saturating_add(wrong)).collect())
    }
}

fn write_episode(path: &std::path::Path, recorded: Option<Vec<Pose>>) {
    let places = poses();
    let episode = Episode {
        width: WIDTH,
        height: HEIGHT,
        video: places.iter().flat_map(|&pose| view(pose)).collect(),
        actions: vec![Action::NEUTRAL; places.len()],
        poses: recorded,
        fps: 17.5,
        layout: ActionLayout::default(),
        source: "line".to_owned(),
    };
    input::write_npz(&episode.checked().unwrap(), path).unwrap();
}

fn args(dir: &std::path::Path) -> RevisitArgs {
    RevisitArgs {
        world: PathBuf::new(),
        episodes: dir.to_owned(),
        walks: 4,
        dream: 16,
        gap: 64,
        seed: 1,
        json: Some(dir.join("figures.json")),
        strip: Some(dir.join("strip.png")),
    }
}

#[test]
fn arms_are_ranked_by_what_they_show() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.npz", "b.npz"] {
        write_episode(&dir.path().join(name), Some(poses()));
    }
    let mut model = StandIn::default();
    let report = run(&mut model, &args(dir.path())).unwrap();
    assert_eq!(report.episodes, 2);
    assert_eq!(model.legs, report.walks.len());
    assert!(model.asked.values().all(|&frames| frames == 16 * model.legs), "{:?}", model.asked);
    let psnr = |arm: usize| report.walks[0].scores[arm].psnr;
    assert!((psnr(3) - metric::PSNR_MAX).abs() < 1e-9, "the hybrid shows the game");
    assert!(psnr(3) > psnr(2) && psnr(2) > psnr(1) && psnr(1) > psnr(0));
    // Every walk gains the same, so the interval is that gain.
    let gain = report.gains[3];
    assert!(gain.low > 0.0 && gain.low <= gain.mean && gain.mean <= gain.high);
    assert!(report.gains[0].high < 0.0);
    let [reckoned, preview, restarted] = report.gains_over_hybrid[..] else { panic!("three") };
    assert!(
        restarted.mean < preview.mean && preview.mean < reckoned.mean,
        "{preview:?} {restarted:?}"
    );
    assert!(reckoned.mean < 0.0, "{reckoned:?}");
    let over_time = report.gains[Arm::Preview.at()].mean;
    assert!((over_time - gain.mean - preview.mean).abs() < 1e-9, "over another arm");
    let table = report.table();
    assert!(table.contains("| hybrid | 100.00 dB |"), "{table}");
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).expect(name);
    assert!(row("| hybrid, restarted ").ends_with(&format!("| {} |", cell(Some(restarted)))));
    assert!(row("| hybrid | ").ends_with(") |  |"), "{table}");
    assert!(dir.path().join("strip.png").exists());
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("figures.json")).unwrap()).unwrap();
    assert_eq!(json["walks"].as_array().map(Vec::len), Some(report.walks.len()));
}

#[test]
fn play_without_poses_or_returns_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_episode(&dir.path().join("a.npz"), None);
    let error = run(&mut StandIn::default(), &args(dir.path())).unwrap_err();
    assert!(error.to_string().contains("expected poses in"), "{error}");
    let onward = (0..2 * OUT + 8).map(|t| Pose { x: t as f32 * 4.0, y: 0.0, yaw: 0.0 }).collect();
    write_episode(&dir.path().join("a.npz"), Some(onward));
    let error = run(&mut StandIn::default(), &args(dir.path())).unwrap_err();
    assert!(error.to_string().contains("comes back"), "{error}");
}

#[test]
fn walks_return_after_the_gap_and_not_to_the_recent_window() {
    let poses = poses();
    let walks = find_walks(&poses, WalkRule { gap: 64, dream: 16 }, 10);
    assert!(!walks.is_empty());
    for walk in &walks {
        assert!(walk.targets.len() >= 6);
        for target in &walk.targets {
            assert!(target.frame > walk.cut && target.frame <= walk.cut + 16);
            assert!(target.seen <= walk.cut && target.frame - target.seen >= 64);
            assert!((poses[target.frame].x - poses[target.seen].x).abs() <= 8.0);
            let fresh = walk.cut - 31..=walk.cut;
            assert!(fresh.clone().all(|t| (poses[t].x - poses[target.frame].x).abs() > 8.0));
        }
    }
    let cuts: Vec<usize> = walks.iter().map(|walk| walk.cut).collect();
    assert!(cuts.windows(2).all(|pair| pair[1] - pair[0] >= 16), "{cuts:?}");
    assert_eq!(find_walks(&poses, WalkRule { gap: 64, dream: 16 }, 1).len(), 1);
}

#[test]
fn headings_must_agree_too() {
    let mut poses = poses();
    poses[OUT + 1..].iter_mut().for_each(|pose| pose.yaw = 180.0);
    assert!(find_walks(&poses, WalkRule { gap: 64, dream: 16 }, 10).is_empty());
    poses[OUT + 1..].iter_mut().for_each(|pose| pose.yaw = 355.0);
    assert!(!find_walks(&poses, WalkRule { gap: 64, dream: 16 }, 10).is_empty());
}

#[test]
fn an_interval_draws_episodes_not_walks() {
    let one = paired_interval(&[(0, 1.0), (0, 3.0)], 7);
    assert_eq!(
        (one.mean, one.low, one.high),
        (2.0, 2.0, 2.0),
        "one episode, drawn again and again"
    );
    let values: Vec<_> = (0..40).map(|episode| (episode, (episode % 2) as f64)).collect();
    let many = paired_interval(&values, 7);
    assert!((many.mean - 0.5).abs() < 1e-12);
    // The standard error of forty coins is 0.079.
    assert!((0.30..0.40).contains(&many.low) && (0.60..0.70).contains(&many.high), "{many:?}");
    assert_eq!(many, paired_interval(&values, 7));
}
