//! What is written about a job: names, comments, mail, files.

use super::{Draft, Refused};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::{Text, Unset};

pub fn change(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    if !desc.admin_comment.is_none() {
        draft.admin_or(rc::ACCESS)?;
        draft.spec.admin_comment = desc.admin_comment.clone();
    }
    for (wish, field) in [
        (&desc.comment, &mut draft.spec.comment),
        (&desc.name, &mut draft.spec.name),
        (&desc.extra, &mut draft.spec.extra),
        (&desc.wckey, &mut draft.spec.wckey),
    ] {
        if !wish.is_none() {
            *field = wish.clone();
        }
    }
    if let Some(kinds) = desc.mail_type.get() {
        draft.spec.mail_type = kinds;
    }
    if !desc.mail_user.is_none() {
        let own = || draft.course.user_name.clone();
        let asked = desc.mail_user.clone();
        draft.spec.mail_user = if asked.is_empty() { own() } else { asked };
    }
    if desc.requeue != u16::UNSET {
        draft.spec.requeue = desc.requeue.min(1);
    }
    account(draft)?;
    files(draft)
}

/// There is no accounting: any account will do.
fn account(draft: &mut Draft<'_>) -> Refused {
    let asked = Text::from(draft.desc.account.lossy().to_lowercase());
    if draft.desc.account.is_none() || asked == draft.spec.account {
        return Ok(());
    }
    draft.waits()?;
    draft.spec.account = asked;
    Ok(())
}

fn files(draft: &mut Draft<'_>) -> Refused {
    let desc = draft.desc;
    let waits = draft.waits();
    for (wish, field) in [
        (&desc.std_in, &mut draft.spec.std_in),
        (&desc.std_out, &mut draft.spec.std_out),
        (&desc.std_err, &mut draft.spec.std_err),
        (&desc.work_dir, &mut draft.spec.work_dir),
    ] {
        if !wish.is_none() && wish != field {
            waits?;
            *field = wish.clone();
        }
    }
    Ok(())
}
