//! The first walk's hint: what to press, drawn instead of written, until the player moves.

use std::time::Duration;

use egui::{
    Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, pos2, vec2,
};
use input::{Act, Acts, Key};

use super::palette::{SHADE, TEXT, YELLOW};

/// How long it takes to fade.
const FADE: Duration = Duration::from_millis(1500);
/// Side of a key in points.
const KEY: f32 = 30.0;
/// Size of the whole drawing in points.
const SIZE: Vec2 = vec2(430.0, 96.0);

/// The hint, from the first picture of the first walk on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hint {
    /// When the player first moved.
    moved_at: Option<Duration>,
}

impl Hint {
    /// Notes that the player has moved; the first time counts. Says whether this was it.
    pub(super) fn note_move(&mut self, now: Duration) -> bool {
        let first = self.moved_at.is_none();
        self.moved_at.get_or_insert(now);
        first
    }

    /// How much of it is left, from 1 to 0.
    pub(super) fn strength(&self, now: Duration) -> f32 {
        self.moved_at.map_or(1.0, |since| {
            let gone = now.saturating_sub(since).as_secs_f32() / FADE.as_secs_f32();
            (1.0 - gone).max(0.0)
        })
    }

    /// Draws keys, mouse and gamepad.
    pub(super) fn show(&self, ui: &mut Ui, keys: &Acts<Key>, now: Duration) {
        // It is large, and a narrow window gets all of it, smaller.
        let scale = (ui.ctx().content_rect().width() / (SIZE.x + 40.0)).min(1.3);
        let (place, _) = ui.allocate_exact_size(SIZE * scale, egui::Sense::hover());
        let strength = self.strength(now);
        let pen = Pen { painter: ui.painter(), corner: place.min, scale, strength };
        pen.fill(Rect::from_min_size(Pos2::ZERO, SIZE).expand(6.0), 10.0, SHADE);
        pen.walking(keys);
        pen.mouse(pos2(285.0, 48.0));
        pen.pad(pos2(378.0, 48.0));
        if strength < 1.0 {
            ui.ctx().request_repaint();
        }
    }
}

/// Draws in the hint's own points.
struct Pen<'a> {
    painter: &'a Painter,
    corner: Pos2,
    scale: f32,
    strength: f32,
}

impl Pen<'_> {
    fn at(&self, place: Pos2) -> Pos2 {
        self.corner + place.to_vec2() * self.scale
    }

    fn fill(&self, area: Rect, corner: f32, colour: Color32) {
        let area = Rect::from_min_max(self.at(area.min), self.at(area.max));
        self.painter.rect_filled(area, corner * self.scale, colour.gamma_multiply(self.strength));
    }

    fn outline(&self, area: Rect, corner: f32) {
        let area = Rect::from_min_max(self.at(area.min), self.at(area.max));
        let line = Stroke::new(2.0 * self.scale, TEXT.gamma_multiply(self.strength));
        self.painter.rect_stroke(area, corner * self.scale, line, StrokeKind::Inside);
    }

    /// The keys that walk, as they lie, and those that turn.
    fn walking(&self, keys: &Acts<Key>) {
        let first = |act| keys.get(act).first().copied();
        let last = |act| keys.get(act).last().copied();
        let pitch = KEY + 4.0;
        let crosses = [
            (
                8.0,
                first(Act::Forward),
                first(Act::StrafeLeft),
                first(Act::Back),
                first(Act::StrafeRight),
            ),
            (130.0, last(Act::Forward), last(Act::TurnLeft), last(Act::Back), last(Act::TurnRight)),
        ];
        for (x, above, left, below, right) in crosses {
            self.key(pos2(x + pitch, 12.0), above);
            self.key(pos2(x, 12.0 + pitch), left);
            self.key(pos2(x + pitch, 12.0 + pitch), below);
            self.key(pos2(x + 2.0 * pitch, 12.0 + pitch), right);
        }
    }

    fn key(&self, corner: Pos2, key: Option<Key>) {
        let Some(key) = key else { return };
        let cap = Rect::from_min_size(corner, Vec2::splat(KEY));
        self.outline(cap, 5.0);
        match key {
            Key::Up => self.arrow(cap.center(), vec2(0.0, -1.0)),
            Key::Down => self.arrow(cap.center(), vec2(0.0, 1.0)),
            Key::Left => self.arrow(cap.center(), vec2(-1.0, 0.0)),
            Key::Right => self.arrow(cap.center(), vec2(1.0, 0.0)),
            key => {
                let name: String = key.to_string().chars().take(4).collect();
                let size = if name.chars().count() > 1 { 10.0 } else { 17.0 };
                let font = FontId::proportional(size * self.scale);
                let colour = TEXT.gamma_multiply(self.strength);
                let centre = self.at(cap.center());
                self.painter.text(centre, Align2::CENTER_CENTER, name, font, colour);
            }
        }
    }

    /// A filled triangle that points along `way`, about a third of a key long.
    fn arrow(&self, centre: Pos2, way: Vec2) {
        let (along, across) = (way * 6.0, way.rot90() * 6.0);
        let corners = [centre + along, centre - along + across, centre - along - across];
        let colour = YELLOW.gamma_multiply(self.strength);
        let corners = corners.map(|corner| self.at(corner)).to_vec();
        self.painter.add(Shape::convex_polygon(corners, colour, Stroke::NONE));
    }

    /// A mouse that moves to either side.
    fn mouse(&self, centre: Pos2) {
        self.outline(Rect::from_center_size(centre, vec2(30.0, 46.0)), 14.0);
        let wheel = Rect::from_center_size(centre - vec2(0.0, 11.0), vec2(4.0, 10.0));
        self.fill(wheel, 2.0, TEXT);
        self.arrow(centre - vec2(28.0, 0.0), vec2(-1.0, 0.0));
        self.arrow(centre + vec2(28.0, 0.0), vec2(1.0, 0.0));
    }

    /// A gamepad: the left stick walks every way, the right one turns.
    fn pad(&self, centre: Pos2) {
        self.outline(Rect::from_center_size(centre, vec2(92.0, 54.0)), 22.0);
        for (x, ways) in [
            (-22.0, &[(0.0, -1.0), (0.0, 1.0), (-1.0, 0.0), (1.0, 0.0)][..]),
            (22.0, &[(-1.0, 0.0), (1.0, 0.0)]),
        ] {
            let stick = centre + vec2(x, 0.0);
            let colour = TEXT.gamma_multiply(self.strength);
            self.painter.circle_filled(self.at(stick), 6.0 * self.scale, colour);
            for (right, down) in ways {
                let way = vec2(*right, *down);
                let (tip, side) = (stick + way * 15.0, way.rot90() * 4.0);
                let corners = [tip, tip - way * 5.0 + side, tip - way * 5.0 - side];
                let corners = corners.map(|corner| self.at(corner)).to_vec();
                let colour = YELLOW.gamma_multiply(self.strength);
                self.painter.add(Shape::convex_polygon(corners, colour, Stroke::NONE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_until_the_first_move_and_then_fades_once() {
        let seconds = Duration::from_secs;
        let mut hint = Hint::default();
        assert_eq!(hint.strength(seconds(1000)), 1.0);
        assert!(hint.note_move(seconds(10)));
        assert!(!hint.note_move(seconds(11)), "moving on does not hold it up");
        assert_eq!(hint.strength(seconds(10)), 1.0);
        let half = hint.strength(seconds(10) + FADE / 2);
        assert!((half - 0.5).abs() < 1e-6, "{half}");
        assert_eq!(hint.strength(seconds(12)), 0.0);
    }
}
