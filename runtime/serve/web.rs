//! The page and the way to it: everything lies behind the token.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use subtle::ConstantTimeEq as _;

use super::message::MESSAGE_BYTES_MAX;
use super::room::Room;
use super::socket;

/// What a page may load and talk to: this program alone.
const POLICY: &str =
    "default-src 'self'; connect-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'";
/// What whoever comes without the token is told.
const LOCKED: &str =
    "This address lacks its token: open the whole line that `oneiro serve` printed.\n";

/// What every request is answered from.
#[derive(Clone)]
struct Door {
    token: Arc<str>,
    room: Arc<Room>,
}

/// The routes: all of them below `/TOKEN/`.
pub(super) fn router(token: &str, room: Arc<Room>) -> Router {
    let door = Door { token: token.into(), room };
    Router::new()
        .route("/{token}/", any(page))
        .route("/{token}/{name}", any(file))
        .fallback(|| async { locked() })
        .with_state(door)
}

impl Door {
    /// Whether `token` is the one that was printed, compared in a time that tells nothing about it.
    fn opens(&self, token: &str) -> bool {
        self.token.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

async fn page(State(door): State<Door>, Path(token): Path<String>) -> Response {
    if !door.opens(&token) {
        return locked();
    }
    asset("text/html; charset=utf-8", include_str!("page/index.html"))
}

async fn file(
    State(door): State<Door>,
    Path((token, name)): Path<(String, String)>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    if !door.opens(&token) {
        return locked();
    }
    match (name.as_str(), upgrade) {
        ("page.js", _) => asset("text/javascript; charset=utf-8", include_str!("page/page.js")),
        ("page.css", _) => asset("text/css; charset=utf-8", include_str!("page/page.css")),
        ("socket", Ok(upgrade)) => upgrade
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .on_upgrade(move |socket| socket::attend(socket, door.room)),
        ("socket", Err(rejection)) => rejection.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn locked() -> Response {
    (StatusCode::FORBIDDEN, headers("text/plain; charset=utf-8"), LOCKED).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    (headers(kind), text).into_response()
}

fn headers(kind: &'static str) -> HeaderMap {
    let pairs: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // The address holds the token: it is told to nobody.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    pairs.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect()
}
