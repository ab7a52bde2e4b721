//! Takes connections, as many as there may be.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::connection;
use super::door::{Door, Phase, Queue};
use crate::worker::{Alive, Worker};

/// How long to wait where a connection can't be taken.
const PAUSE: Duration = Duration::from_millis(50);
/// Of the connections that the kernel has queued when a listener closes, so many are still served.
const LAST_ACCEPTED: usize = 4096;

/// Takes connections until the listener closes.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener, door: Rc<Door>, alive: Alive) {
    let mut closing = std::pin::pin!(door.closing());
    loop {
        tokio::select! {
            () = closing.as_mut() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => admit(&worker, stream, address, &door, &alive),
                // Out of descriptors, most likely: those that end make room.
                Err(error) => {
                    tracing::warn!("could not accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    if door.phase() == Phase::Closing(Queue::Ours) {
        let queued = std::future::poll_fn(|context| {
            let mut left = LAST_ACCEPTED;
            while let Poll::Ready(Ok((stream, address))) = listener.poll_accept(context)
                && left > 0
            {
                admit(&worker, stream, address, &door, &alive);
                left -= 1;
            }
            Poll::Ready(())
        });
        tokio::task::unconstrained(queued).await;
    }
}

/// Gives a connection a task of its own. Refused, it is closed by going out of scope.
fn admit(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, door: &Rc<Door>, alive: &Alive) {
    let (world, number) = door.world(worker);
    let Some(listener) = world.snapshot.listeners.get(number) else { return };
    if let Some(permit) = listener.terms.admit(address) {
        let (worker, door, terms, alive) =
            (worker.clone(), door.clone(), listener.terms.clone(), alive.clone());
        let new = connection::New { worker, stream, address, tls: None, permit, door, terms, alive };
        tokio::task::spawn_local(connection::serve(new));
    }
}
