//! `scontrol update NodeName=…`.

use super::Desk;
use crate::client::{node_state, text};
use crate::slurm::wire::constants::node;
use crate::slurm::wire::tables::UpdateNode;
use crate::slurm::wire::{Message, Unset};

/// Changes nodes.
pub fn update(desk: &Desk<'_>, words: &[String]) -> u8 {
    let mut change =
        UpdateNode { node_state: u32::UNSET, weight: u32::UNSET, ..UpdateNode::default() };
    let mut count = 0;
    for word in words {
        match set(desk, &mut change, word) {
            Ok(changes) => count += changes,
            Err(code) => return code,
        }
    }
    let wants_reason = matches!(change.node_state, node::DOWN | node::DRAIN | node::FAIL);
    if wants_reason && change.reason.is_empty() {
        text::complain(
            "You must specify a reason when DOWNING or DRAINING a node. Request denied\n",
        );
        return 1;
    }
    if count == 0 {
        text::complain("No changes specified\n");
        return 1;
    }
    match desk.cluster.order(&Message::UpdateNode(Box::new(change))) {
        Ok(()) => 0,
        Err(failure) => desk.failed("slurm_update error", &failure),
    }
}

/// Sets what a word names; how many changes that is.
fn set(desk: &Desk<'_>, change: &mut UpdateNode, word: &str) -> Result<u32, u8> {
    let Some((tag, value)) = word.split_once('=') else {
        desk.error(&format!("Invalid input: {word}  Request aborted"));
        text::complain("slurm_update error: No error\n");
        return Err(1);
    };
    let is = |name: &str, least: usize| text::abbreviates(tag, name, least);
    match tag {
        _ if is("NodeAddr", 5) => change.node_addr = text::wire(value),
        _ if is("NodeHostName", 5) => change.node_hostname = text::wire(value),
        _ if is("NodeName", 1) => {
            change.node_names = text::wire(value);
            return Ok(0);
        }
        _ if is("ActiveFeatures", 3) => change.features_act = text::wire(value),
        _ if is("Extra", 1) => change.extra = text::wire(value),
        _ if is("Features", 1) || is("AvailableFeatures", 3) => {
            change.features = text::wire(value);
        }
        _ if is("Gres", 1) => change.gres = text::wire(value),
        _ if is("Weight", 1) => {
            change.weight = match value.parse() {
                Ok(weight) => weight,
                Err(_) => {
                    return Err(
                        desk.error(&format!("Weight value ({value}) is not a valid number"))
                    );
                }
            };
        }
        _ if is("Comment", 2) => change.comment = text::wire(value),
        _ if is("Reason", 1) => {
            let value = value.strip_prefix('"').unwrap_or(value);
            change.reason = text::wire(value.strip_suffix('"').unwrap_or(value));
        }
        _ if is("State", 1) => change.node_state = state(word, value)?,
        _ => {
            text::complain(&format!(
                "Update of this parameter is not supported: {word}\nRequest aborted\n"
            ));
            return Err(1);
        }
    }
    Ok(1)
}

fn state(word: &str, value: &str) -> Result<u32, u8> {
    /// What power saving asks for.
    const POWER_DOWN: u32 = 1 << 23;
    const POWER_UP: u32 = 1 << 24;
    const POWER_DRAIN: u32 = 1 << 25;
    const CANCEL_REBOOT: u32 = 1 << 17;
    const NAMES: [(&str, usize, u32); 11] = [
        ("NoResp", 3, node::NO_RESPOND),
        ("CANCEL_REBOOT", 3, CANCEL_REBOOT),
        ("DRAIN", 3, node::DRAIN),
        ("FAIL", 3, node::FAIL),
        ("FUTURE", 3, node::FUTURE),
        ("RESUME", 3, node::RESUME),
        ("POWER_DOWN_ASAP", 12, POWER_DOWN | POWER_DRAIN),
        ("POWER_DOWN_FORCE", 12, POWER_DOWN | node::POWERED_DOWN),
        ("POWER_DOWN", 7, POWER_DOWN),
        ("POWER_UP", 7, POWER_UP),
        ("UNDRAIN", 3, node::UNDRAIN),
    ];
    let found = NAMES.iter().find(|(name, least, _)| text::abbreviates(value, name, *least));
    if let Some((.., state)) = found {
        return Ok(*state);
    }
    let base = (node::UNKNOWN..=node::FUTURE)
        .find(|base| text::abbreviates(value, &node_state::full(*base), 3));
    base.ok_or_else(|| {
        text::complain(&format!(
            "Invalid input: {word}\nRequest aborted\nValid states are: NoResp DRAIN FAIL FUTURE \
             RESUME POWER_DOWN POWER_UP UNDRAIN\nNot all states are valid given a node's prior \
             state\n"
        ));
        1
    })
}
