//! What every controller answers itself, whoever reigns: whether it is there, what it is, and what
//! its operator tells it.

use crate::controller::core::{Command, Order};
use crate::controller::pair::{Pair, Stance, lock, session, standing};
use crate::controller::server::{Begun, Dropped, answer as reply, receive};
use crate::role::takeover::Event;
use crate::slurm::wire::constants::{peer, rc};
use crate::slurm::wire::tables::ControlStatus;
use crate::slurm::wire::{Message, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// In a request to shut down: the agents as well.
const EVERYBODY: u16 = 0;

/// Whether a message is for this very controller.
pub fn is_local(kind: u16) -> bool {
    const SHUTDOWN: u16 = 1005;
    const PING: u16 = 1008;
    const RELINQUISH: u16 = 1009;
    const TAKEOVER: u16 = 1012;
    const CONTROL_STATUS: u16 = 2053;
    const PEER: u16 = 23801;
    const STANDING: u16 = 23802;
    const PARDON: u16 = 23804;
    let all = [SHUTDOWN, PING, RELINQUISH, TAKEOVER, CONTROL_STATUS, PEER, STANDING, PARDON];
    all.contains(&kind)
}

/// Answers a message that is for this very controller.
pub async fn answer(
    pair: &Arc<Pair>,
    mut stream: TcpStream,
    from: SocketAddr,
    begun: Begun,
) -> Result<(), Dropped> {
    let Some(asked) = receive(&pair.auth, &mut stream, from, begun).await? else {
        return Ok(());
    };
    let admin = pair.is_admin(asked.proved.identity);
    let code = match &asked.message {
        Message::Ping => rc::OK,
        Message::ControlStatusRequest => {
            let status = Message::ControlStatus(Box::new(status(pair)));
            return reply(&pair.auth, &mut stream, &asked, status).await;
        }
        Message::StandingRequest => {
            let standing = Message::Standing(Box::new(standing::of(pair).await));
            return reply(&pair.auth, &mut stream, &asked, standing).await;
        }
        Message::Pardon if admin => {
            tracing::info!("{from} says that this controller may claim again");
            pair.happened(Event::Pardoned);
            rc::OK
        }
        Message::Peer(word) if admin => {
            session::run(pair, stream, (**word).clone()).await;
            return Ok(());
        }
        Message::Relinquish => {
            tracing::error!(
                "{from} asks this controller to relinquish, which only Slurm's own slurmctld does: \
                 refused; next: see which slurmctld runs there, for a pair is of one make"
            );
            rc::UNSUPPORTED
        }
        Message::Takeover if admin => takeover(pair).await,
        Message::Shutdown(asked) if admin => shutdown(pair, asked.option).await,
        _ => rc::USER,
    };
    let shuts_down = matches!(asked.message, Message::Shutdown(_)) && code == rc::OK;
    let replied = reply(&pair.auth, &mut stream, &asked, Message::code(code)).await;
    if shuts_down {
        pair.happened(Event::Shutdown);
    }
    replied
}

fn status(pair: &Pair) -> ControlStatus {
    let in_charge_since = match &*pair.stance.borrow() {
        Stance::Serves(service) => Time(service.started()),
        _ => Time(0),
    };
    ControlStatus { index: pair.host.index, in_charge_since }
}

/// 0 once this controller reigns.
async fn takeover(pair: &Arc<Pair>) -> u32 {
    let mut stances = pair.stance.subscribe();
    if matches!(*stances.borrow_and_update(), Stance::Serves(_)) {
        return rc::OK;
    }
    tracing::info!("asked to take over");
    pair.happened(Event::TakeOver);
    let reigns = stances.wait_for(|stance| matches!(stance, Stance::Serves(_)));
    match timeout(pair.hold, reigns).await {
        Ok(Ok(_)) => rc::OK,
        _ => rc::STANDBY,
    }
}

async fn shutdown(pair: &Arc<Pair>, option: u16) -> u32 {
    if let Some((service, _entered)) = pair.enter() {
        if option == EVERYBODY {
            service.command(Command::PassOn { order: Order::Shutdown }).await;
        }
        // Nobody takes over from a controller that ends because all are to.
        for way in lock(&pair.standbys).values() {
            let _ = way.send(pair.word(peer::SHUTDOWN, service.epoch(), false));
        }
    }
    pair.resigned.store(true, Ordering::Release);
    rc::OK
}
