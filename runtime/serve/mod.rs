//! `oneiro serve`: the walk in a browser, so that a machine with a fast GPU can be played from a laptop.
//!
//! ```text
//! dream thread ─▶ queue ─▶ host ─▶ newest picture ─▶ socket of each page
//!       ▲                   ▲                              │
//!       └──── controls ─────┴──── commands ◀── room ◀──────┘
//! ```
//!
//! The host shows a frame when it is due, as a window would, by putting it where every page finds the newest one.
//! A page that is not ready for it misses it; the walk waits for none. One page steers, the others watch; while no
//! page is open, the walk rests. Nothing is encrypted: beyond the own machine, use a tunnel.

mod controls;
mod host;
mod message;
mod room;
mod socket;
mod web;

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::serve::ListenerExt as _;
use clap::Args;

pub use self::controls::Controls;
use self::host::Host;
use self::room::Room;
use crate::walk::{Plan, Walked};
use crate::world::{self, Beginning};
use crate::{paths, play, worlds};

/// Longest wait for pages to hear that the walk is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Folder of the world, or the name of one that came with the program
    #[arg(long, value_name = "WORLD", default_value = "doom-rooms")]
    pub world: PathBuf,
    /// Seed of the world's noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Folder of what worlds remember between walks, or `none` [default: in your data folder]
    #[arg(long, value_name = "DIR")]
    pub memory: Option<PathBuf>,
    /// Folder for recorded sessions [default: in your data folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Address to listen at; 0.0.0.0 lets other machines in, unencrypted
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 7787)]
    pub port: u16,
}

/// Walks in the world that the command line names, shown and steered in browsers, until interrupted.
///
/// # Errors
/// When the address cannot be listened at, the world cannot be opened or the walk fails.
pub fn run(args: &ServeArgs) -> Result<()> {
    let dir = worlds::find(&args.world)?;
    let (controls, hand) = Controls::new(&worlds::describe(&dir)?.layout);
    let address = SocketAddr::new(args.bind, args.port);
    let listener = TcpListener::bind(address)
        .with_context(|| format!("listen at {address}; --port names another"))?;
    let token = token()?;
    let address = reachable(listener.local_addr()?);
    writeln!(io::stdout(), "http://{address}/{token}/")?;
    let memory = play::place(args.memory.as_deref(), false, true);
    let beginning = Beginning { seed: args.seed, evaluations: None, start: None, memory };
    let plan = Plan {
        dream: world::opener(dir, beginning),
        steer: Box::new(hand),
        frames: None,
        sessions: args.out.clone().unwrap_or_else(paths::sessions),
        auto_steps: true,
    };
    let interrupted = async {
        // Where interrupts cannot be heard, the system ends the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    play::report(&serve(plan, controls, listener, &token, interrupted)?)
}

/// Shows the walk of `plan`, steered by `controls`, to whoever opens `/TOKEN/` at the listener, until it ends or
/// `stop` does.
///
/// # Errors
/// When the walk cannot be started, or fails.
pub fn serve(
    plan: Plan,
    controls: Controls,
    listener: TcpListener,
    token: &str,
    stop: impl Future<Output = ()>,
) -> Result<Walked> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (room, commands) = Room::new(controls);
    let room = Arc::new(room);
    let ended = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|line| {
            // Otherwise the end of a picture waits until the page has confirmed its beginning.
            if let Err(error) = line.set_nodelay(true) {
                tracing::debug!("{error}");
            }
        });
        let pages = axum::serve(listener, web::router(token, Arc::clone(&room)));
        let mut host = Host::start(plan, Arc::clone(&room), commands)?;
        let ended = tokio::select! {
            ended = host.present() => ended,
            served = pages => served.context("pages can no longer be served"),
            () = stop => Ok(()),
        };
        let text = match &ended {
            Ok(()) => "the walk is over".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        room.status.send_modify(|status| (status.text, status.over) = (text, true));
        let mut status = room.status.subscribe();
        let gone = status.wait_for(|status| status.pages == 0);
        // Pages that are slow to go do not keep the program.
        let _ = tokio::time::timeout(GOODBYE, gone).await;
        let walked = host.leave();
        ended.map(|()| walked)
    });
    // Connections that are still open are dropped, not waited for.
    runtime.shutdown_background();
    ended
}

/// 128 random bits in hex: nobody guesses them.
fn token() -> Result<String> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits).context("the system gives no random numbers")?;
    Ok(bits.iter().fold(String::new(), |mut token, byte| {
        // Writing to a string cannot fail.
        let _ = write!(token, "{byte:02x}");
        token
    }))
}

/// The address to type for one that is listened at: that of this machine where it is every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let (any, loopback): (_, IpAddr) = match address.ip() {
            IpAddr::V4(any) => (IpAddr::V4(any), Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(any) => (IpAddr::V6(any), Ipv6Addr::LOCALHOST.into()),
        };
        address.set_ip(outward(any).unwrap_or(loopback));
    }
    address
}

/// The address from which this machine would reach others. Nothing is sent.
fn outward(any: IpAddr) -> Option<IpAddr> {
    // Addresses kept for examples, which are nobody's.
    let example: IpAddr = match any {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((example, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_twice_the_same() {
        let (first, second) = (token().unwrap(), token().unwrap());
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_ne!(first, second);
    }

    #[test]
    fn the_printed_address_is_one_that_can_be_typed() {
        let loopback: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(reachable(loopback), loopback);
        for any in ["0.0.0.0:7", "[::]:7"] {
            let address = reachable(any.parse().unwrap());
            assert!(!address.ip().is_unspecified() && address.port() == 7, "{address}");
        }
    }
}
