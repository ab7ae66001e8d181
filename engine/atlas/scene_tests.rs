//! Warped views, of a painted room whose camera is known.

use super::fit::Views;
use super::render::{Renderer, nearest};
use super::scenery::{Camera, Canvas, Picture, Scenery};
use super::{Atlas, Ground, Motion, Pose, View, narrowed, widened};
use crate::codec::Codec;
use crate::model::ModelConfig;
use crate::noise::Random;
use std::sync::{Arc, LazyLock};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
/// How the pictures are taken.
const CAMERA: Camera = Camera { focal: 1.25, eye: 2.0, ceiling: 3.0, margin: 7 };
/// Where one can stand in the room, in steps, from the origin on.
const ROOM: (f32, f32) = (30.0, 20.0);

/// Pictures of a painted room, from all over it.
struct Shots {
    atlas: Atlas,
    pictures: Vec<Vec<u8>>,
}

static ROOMS: LazyLock<Shots> = LazyLock::new(|| {
    let fine =
        |length: f32| (0..).map(|at: u16| f32::from(at) / 8.0).take_while(move |&at| at < length);
    let places = fine(ROOM.0).flat_map(|x| fine(ROOM.1).map(move |y| (x, y)));
    let ground = Arc::new(Ground::under(places));
    let motion = Motion::of_steps(1.0);
    let mut random = Random::new(3, 0);
    let view = |_| {
        let [x, y, yaw] = [ROOM.0, ROOM.1, 360.0].map(|most| most * random.uniform());
        View { latent: [].into(), picture: None, action: [].into(), pose: Pose { x, y, yaw } }
    };
    let views: Vec<View> = (0..800).map(view).collect();
    let pictures = views.iter().map(|view| shot(view.pose)).collect();
    Shots { atlas: Atlas { views, motion, ground, scenery: None }, pictures }
});

/// What the camera sees of the room: waves of colour all over it.
fn shot(pose: Pose) -> Vec<u8> {
    let margin = f32::from(CAMERA.margin) / 8.0;
    let (sin, cos) = pose.yaw.to_radians().sin_cos();
    let half = |count: usize| f32::from(u16::try_from(count).unwrap()) / 2.0;
    let mut pixels = Vec::with_capacity(3 * WIDTH * HEIGHT);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            let scale = half(WIDTH) * CAMERA.focal;
            let side = (half(2 * column + 1) - half(WIDTH)) / scale;
            let up = (half(HEIGHT) - half(2 * row + 1)) / scale;
            let (east, north) = (cos + side * sin, sin - side * cos);
            // How far ahead each side of the room would be met.
            let meet = |at: f32, way: f32, end: f32| {
                if way > 0.0 { (end + margin - at) / way } else { (at + margin) / -way }
            };
            let level = if up > 0.0 { CAMERA.ceiling / up } else { CAMERA.eye / -up };
            let far = meet(pose.x, east, ROOM.0).min(meet(pose.y, north, ROOM.1)).min(level);
            let (x, y, z) = (pose.x + far * east, pose.y + far * north, far * up);
            let waves = [x + 0.7 * z, y - 0.5 * x, z + 0.8 * y];
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
            pixels.extend(waves.map(|wave| (128.0 + 90.0 * wave.sin()) as u8));
        }
    }
    pixels
}

/// The views with what `number`'s picture is.
fn views(number: impl Fn(usize) -> usize) -> Views<'static> {
    let picture = |view: usize| Ok(ROOMS.pictures[number(view)].clone());
    Views::with(&ROOMS.atlas, (WIDTH, HEIGHT), picture).unwrap()
}

#[test]
fn the_camera_of_a_game_is_found_out() {
    let scenery = views(|view| view).fit().expect("the room is level");
    let Camera { focal, eye, ceiling, margin } = scenery.camera();
    for (got, expected) in [(focal, CAMERA.focal), (eye, CAMERA.eye), (ceiling, CAMERA.ceiling)] {
        // The search ends at steps of three parts in a hundred.
        assert!((got / expected - 1.0).abs() < 0.06, "{got}, not {expected}");
    }
    // Known to a square.
    assert!(margin.abs_diff(CAMERA.margin) <= 1, "{margin}");
}

#[test]
fn views_that_show_something_else_have_no_camera() {
    assert_eq!(views(|view| (view + 400) % 800).fit(), None);
}

#[test]
fn a_view_shows_itself_and_nothing_of_what_lies_behind_it() {
    let scenery = views(|view| view).fit().unwrap();
    let (pose, pixels) = (ROOMS.atlas.views[100].pose, &ROOMS.pictures[100][..]);
    let outline = |pose| scenery.outline(pose, WIDTH).expect("somebody stood there");
    let paint = |here: Pose, guessing| {
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        let view = (&outline(pose), &Picture::new(pixels, WIDTH));
        scenery.paint(&mut canvas, &outline(here), view, guessing);
        canvas
    };
    let same = paint(pose, false);
    assert!(same.is_full());
    assert_eq!(same.pixels, pixels);
    let behind = paint(Pose { yaw: pose.yaw + 180.0, ..pose }, false);
    assert!(behind.seen.iter().all(|&seen| !seen));
    // A quarter of the field of view is gone on one side, and guessed there if that is asked for.
    let aside = Pose { yaw: pose.yaw + 20.0, ..pose };
    let (turned, guessed) = (paint(aside, false), paint(aside, true));
    let share = |canvas: &Canvas| canvas.seen.iter().filter(|&&seen| seen).count();
    assert!((WIDTH * HEIGHT / 2..WIDTH * HEIGHT * 9 / 10).contains(&share(&turned)));
    assert_eq!(share(&turned), share(&guessed));
    let grey = |canvas: &Canvas| canvas.pixels.iter().filter(|&&byte| byte == 127).count();
    assert!(grey(&turned) > 3 * WIDTH * HEIGHT / 10 && grey(&guessed) < grey(&turned) / 2);
}

#[test]
fn the_nearest_views_are_the_best_of_all_in_order() {
    let views = &ROOMS.atlas.views;
    for here in views.iter().step_by(100).map(|view| view.pose) {
        let near = nearest(views, here, |_| false);
        assert!(near.len() > 1 && near.len() < views.len() / 10, "some of many");
        // The best is simple to find: the others are so, too, once those before them are left out.
        for (at, number) in near.iter().enumerate() {
            let rest = nearest(views, here, |other| near[..at].contains(&other));
            assert_eq!(rest.first(), Some(number));
        }
    }
}

#[test]
fn warped_neighbours_are_nearer_to_what_is_seen_than_they_are_themselves() {
    let Shots { atlas, pictures } = &*ROOMS;
    let scenery = views(|view| view).fit().unwrap();
    let (mut warped, mut copied) = (0.0, 0.0);
    for number in (10..atlas.views.len()).step_by(40) {
        let here = atlas.views[number].pose;
        let near = nearest(&atlas.views, here, |other| other == number);
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        let outline = |pose| scenery.outline(pose, WIDTH).expect("somebody stood there");
        for &other in &near {
            let picture = Picture::new(&pictures[other], WIDTH);
            let view = (&outline(atlas.views[other].pose), &picture);
            scenery.paint(&mut canvas, &outline(here), view, false);
        }
        let off = |pixels: &[u8]| {
            pixels
                .iter()
                .zip(&pictures[number])
                .map(|(a, &b)| f64::from(a.abs_diff(b)))
                .sum::<f64>()
        };
        warped += off(&canvas.pixels);
        copied += off(&pictures[near[0]]);
    }
    assert!(warped < 0.6 * copied, "{warped} of {copied}");
}

#[test]
fn renderings_are_latents_with_the_share_that_was_seen() {
    let (config, codec) = (ModelConfig::tiny(), Codec::tiny());
    // A hall of 20 steps with a view at each end that look at each other, and one that looks away.
    let ground = Ground::of((0..160).flat_map(|x| (0..16).map(move |y| (x, y))));
    let camera = Camera { focal: 1.0, eye: 3.0, ceiling: 3.0, margin: 4 };
    let scenery = Scenery::new(camera, &ground).map(Arc::new);
    let view = |x: f32, yaw: f32| View {
        // A value that a file tells apart.
        latent: vec![widened(narrowed(1.0)).to_bits(); config.latent_len()].into(),
        picture: None,
        action: [0.0; 4].into(),
        pose: Pose { x, y: 1.0, yaw },
    };
    let views = vec![view(1.0, 0.0), view(19.0, 180.0), view(10.0, 180.0)];
    let motion = Motion::of_steps(1.0);
    let atlas = Atlas { views, motion, ground: Arc::new(ground), scenery };
    let mut renderer = Renderer::new(&config, 1 << 20);
    let mut latent = |here: Pose, left_out: usize| {
        let left_out = |number| number == left_out;
        let latents = renderer.latents((&atlas, &codec), [here], left_out).unwrap();
        latents.map(|(latents, _)| latents)
    };
    let cells = config.height * config.width;
    let seen = |latent: Option<Vec<f32>>| {
        let latent = latent.expect("somebody stood there");
        assert_eq!(latent.len(), config.latent_len() + cells);
        let seen = &latent[config.latent_len()..];
        assert!(seen.iter().all(|share| (0.0..=1.0).contains(share)));
        seen.iter().sum::<f32>() / f32::from(u8::try_from(cells).unwrap())
    };
    let ahead = Pose { x: 2.0, y: 1.0, yaw: 0.0 };
    assert!(seen(latent(ahead, 9)) > 0.95);
    // Of what is ahead, those that look back show nothing.
    assert_eq!(seen(latent(ahead, 0)), 0.0);
    assert_eq!(latent(Pose { y: 50.0, ..ahead }, 9), None, "inside a wall");
    let bare = Atlas { scenery: None, ..atlas.clone() };
    assert!(renderer.latents((&bare, &codec), [ahead], |_| false).unwrap().is_none());
    // A picture is shown in place of what the codec makes of the view, and lies in the file like all else.
    let mut shown = atlas.clone();
    let (width, height) = (8 * config.width, 8 * config.height);
    for number in 0..3 {
        shown.take_picture(number, &vec![200; 3 * width * height], (width, height)).unwrap();
    }
    assert!(shown.take_picture(0, &[200; 9], (width, height)).is_err());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("atlas.safetensors");
    shown.save(&path, &config).unwrap();
    let read = Atlas::load(&path, &config, |_| ()).unwrap();
    assert_eq!(read, Some(shown.clone()));
    let mut renderer = Renderer::new(&config, 1 << 20);
    let canvas = renderer.canvas((&shown, &codec), ahead, |_| false).unwrap().unwrap();
    assert!(canvas.pixels.iter().all(|byte| byte.abs_diff(200) <= 2));
}

fn encoded(codec: &Codec, picture: &[u8]) -> Vec<f32> {
    codec.encode(picture, HEIGHT, WIDTH).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The room's views with all that belongs to a map, and what warps them.
fn developed() -> (Atlas, Codec, Renderer) {
    let (mut config, codec) = (ModelConfig::tiny(), Codec::tiny());
    (config.width, config.height) = (WIDTH / 8, HEIGHT / 8);
    let mut atlas = ROOMS.atlas.clone();
    for (number, picture) in ROOMS.pictures.iter().enumerate() {
        let latent = encoded(&codec, picture).into_iter();
        let latent = latent.map(|x| half::f16::from_f32(x).to_bits());
        atlas.views[number].latent = latent.collect();
        atlas.take_picture(number, picture, (WIDTH, HEIGHT)).unwrap();
    }
    atlas.scenery = Scenery::new(CAMERA, &atlas.ground).map(Arc::new);
    (atlas, codec, Renderer::new(&config, 64 << 20))
}

#[test]
fn a_walk_is_of_the_map_that_shows_what_it_sees() {
    let (atlas, codec, mut renderer) = developed();
    let place = |at: u8| {
        let at = f32::from(at);
        Pose { x: 4.0 + 2.0 * at, y: 3.0 + at, yaw: 31.0 * at }
    };
    let frames: Vec<Vec<u8>> = (0..8).map(|at| shot(place(at))).collect();
    let mut shows = |offset: usize, count: usize| {
        let frames = (0..8).cycle().skip(offset).map(|at| &frames[at][..]);
        renderer.shows((&atlas, &codec), (0..8).map(place).zip(frames).take(count)).unwrap()
    };
    assert!(shows(0, 8), "where the walk is");
    assert!(!shows(3, 8), "places that look otherwise");
    assert!(!shows(0, 0));
    // Half of the frames decide, as on the map some are astray beside near walls.
    let mut mixed = |own: usize| {
        let frames = (0..8).map(|at| &frames[if at < own { at } else { (at + 3) % 8 }][..]);
        renderer.shows((&atlas, &codec), (0..8).map(place).zip(frames)).unwrap()
    };
    assert!(mixed(4) && !mixed(3));
    let outside = Pose { y: -500.0, ..Pose::default() };
    assert!(!renderer.shows((&atlas, &codec), [(outside, &frames[0][..])].into_iter()).unwrap());
}

#[test]
fn a_picture_is_found_where_it_was_seen_from() {
    let (atlas, codec, mut renderer) = developed();
    let mut located = |picture: &[u8]| {
        renderer.located((&atlas, &codec), picture, &encoded(&codec, picture)).unwrap()
    };
    for (x, y, yaw) in [(5.3, 4.1, 33.0), (21.7, 15.2, 250.0), (12.4, 9.9, 140.0)] {
        let found = located(&shot(Pose { x, y, yaw })).expect("it is of this room");
        let astray = super::turned(found, Pose { x, y, yaw });
        let off = (found.x - x).hypot(found.y - y);
        // Much less than what lies between two views, one and a half steps and some ten degrees.
        assert!(off < 0.5 && astray.abs() < 3.0, "{found:?}, not {x} {y} {yaw}");
    }
    // What the room shows nowhere, and where nothing can be warped.
    assert_eq!(located(&[[255, 255, 255], [0, 0, 0]].concat().repeat(WIDTH * HEIGHT / 2)), None);
    let bare = Atlas { scenery: None, ..ROOMS.atlas.clone() };
    let picture = &ROOMS.pictures[0];
    let nowhere = renderer.located((&bare, &codec), picture, &encoded(&codec, picture)).unwrap();
    assert_eq!(nowhere, None);
}
