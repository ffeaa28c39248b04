//! The key scheme: whose key files are taken, and what is not believed.

use super::*;
use crate::slurm::auth::Auth;
use crate::slurm::auth::To;
use crate::slurm::wire::Version;
use crate::slurm::wire::frame::Frame;
use crate::slurm::wire::frame::Header;
use crate::slurm::wire::frame::LENGTH_LEN;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

struct Scene {
    dir: tempfile::TempDir,
    now: Arc<AtomicI64>,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join("key")).unwrap();
        Scene { dir, now: Arc::new(AtomicI64::new(1_000_000)) }
    }

    fn load(&self) -> Auth {
        let now = Arc::clone(&self.now);
        let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
        Auth::Key(Key::load(&self.dir.path().join("key"), clock).unwrap())
    }
}

const BODY: &[u8] = b"body of ping";

fn sealed(auth: &Auth, role: Role) -> (Vec<u8>, Nonce) {
    let header = Header::new(Version::NEWEST, 1008, BODY.len());
    let sealed = auth.seal(&header, BODY, role, To::Anybody).unwrap();
    (sealed.bytes[LENGTH_LEN..].to_vec(), sealed.nonce)
}

fn verify(auth: &Auth, bytes: &[u8], role: Role) -> Result<Nonce, AuthError> {
    auth.verify(&Frame::unpack(bytes)?, role).map(|proved| proved.nonce)
}

#[test]
fn the_owner_of_the_key_is_served_once() {
    let scene = Scene::new();
    let auth = scene.load();
    let (bytes, nonce) = sealed(&auth, Role::Request);
    let proved = auth.verify(&Frame::unpack(&bytes).unwrap(), Role::Request).unwrap();
    assert_eq!(proved.nonce, nonce);
    assert_eq!(proved.identity.uid, rustix::process::geteuid().as_raw());
    assert!(matches!(verify(&auth, &bytes, Role::Request), Err(AuthError::Replayed)));
}

#[test]
fn every_flipped_bit_is_refused() {
    let scene = Scene::new();
    let auth = scene.load();
    let (bytes, _) = sealed(&auth, Role::Request);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&auth, &flipped, Role::Request).is_err(), "bit {bit}");
    }
    // A credential whose body came damaged is used up.
    assert!(matches!(verify(&auth, &bytes, Role::Request), Err(AuthError::Replayed)));
    verify(&scene.load(), &bytes, Role::Request).unwrap();
}

#[test]
fn a_credential_is_valid_for_a_while_and_not_beyond_a_restart() {
    let scene = Scene::new();
    let auth = scene.load();
    let (bytes, _) = sealed(&auth, Role::Request);
    scene.now.fetch_add(WINDOW_MS + 1, Ordering::Relaxed);
    assert!(matches!(verify(&auth, &bytes, Role::Request), Err(AuthError::Window { .. })));
    scene.now.fetch_sub(2 * WINDOW_MS + 2, Ordering::Relaxed);
    assert!(matches!(verify(&auth, &bytes, Role::Request), Err(AuthError::Window { .. })));
    scene.now.fetch_add(WINDOW_MS + 2, Ordering::Relaxed);
    let restarted = scene.load();
    assert!(matches!(verify(&restarted, &bytes, Role::Request), Err(AuthError::BeforeStart)));
}

#[test]
fn a_nonce_is_remembered_as_long_as_its_credential_is_valid() {
    let scene = Scene::new();
    let auth = scene.load();
    scene.now.fetch_add(WINDOW_MS, Ordering::Relaxed);
    let (bytes, _) = sealed(&auth, Role::Request);
    scene.now.fetch_sub(WINDOW_MS, Ordering::Relaxed);
    verify(&auth, &bytes, Role::Request).unwrap();
    for _ in 0..=2 * WINDOW_MS / 500 {
        let again = verify(&auth, &bytes, Role::Request);
        assert!(matches!(again, Err(AuthError::Replayed | AuthError::Window { .. })), "{again:?}");
        let (other, _) = sealed(&auth, Role::Request);
        verify(&auth, &other, Role::Request).unwrap();
        scene.now.fetch_add(500, Ordering::Relaxed);
    }
}

#[test]
fn a_reply_is_for_one_request_and_no_request_itself() {
    let scene = Scene::new();
    let auth = scene.load();
    let (_, asked) = sealed(&auth, Role::Request);
    let (reply, _) = sealed(&auth, Role::Reply(asked));
    verify(&auth, &reply, Role::Reply(asked)).unwrap();
    let mut other = asked;
    other[0] ^= 1;
    assert!(matches!(verify(&auth, &reply, Role::Reply(other)), Err(AuthError::Forged)));
    assert!(matches!(verify(&auth, &reply, Role::Request), Err(AuthError::Forged)));
}

#[test]
fn another_key_and_another_scheme_are_refused() {
    let scene = Scene::new();
    let (bytes, _) = sealed(&Scene::new().load(), Role::Request);
    assert!(matches!(verify(&scene.load(), &bytes, Role::Request), Err(AuthError::Forged)));
    let header = Header::new(Version::NEWEST, 1008, 0);
    let munge = crate::slurm::wire::frame::pack(&header, 101, b"MUNGE:x:", b"");
    let found = verify(&scene.load(), &munge[LENGTH_LEN..], Role::Request);
    assert!(matches!(found, Err(AuthError::Scheme { found: 101, .. })));
}

#[test]
fn a_key_file_that_others_can_read_or_that_is_short_is_refused() {
    let scene = Scene::new();
    let path = scene.dir.path().join("key");
    create(&path).unwrap_err();
    let load = || Key::load(&path, system_clock()).unwrap_err().to_string();
    for mode in [0o640, 0o604, 0o610] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert!(load().contains("chmod 600"), "{}", load());
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&path, [7; 31]).unwrap();
    assert!(load().contains("32 to 4096"), "{}", load());
    std::fs::remove_file(&path).unwrap();
    assert!(load().contains("key file"), "{}", load());
}

#[test]
fn a_permission_is_of_this_key_and_these_bytes() {
    let auth = Scene::new().load();
    let signature = auth.sign_permission(b"run").unwrap();
    auth.check_permission(b"run", &signature).unwrap();
    assert!(auth.check_permission(b"ran", &signature).is_err());
    assert!(Scene::new().load().check_permission(b"run", &signature).is_err());
}

/// A controller that stands by refuses what it has not opened.
#[test]
fn a_refusal_of_one_who_has_not_looked_is_believed_by_him_who_asked_and_by_nobody_else() {
    let scene = Scene::new();
    let auth = scene.load();
    let (asked, nonce) = sealed(&auth, Role::Request);
    let (other, _) = sealed(&auth, Role::Request);
    let claimed = auth.claimed_nonce(&Frame::unpack(&asked).unwrap().head);
    let (refusal, _) = sealed(&auth, Role::Reply(claimed));
    assert!(verify(&auth, &refusal, Role::Reply(nonce)).is_ok());
    let stranger = auth.claimed_nonce(&Frame::unpack(&other).unwrap().head);
    let (refusal, _) = sealed(&auth, Role::Reply(stranger));
    assert!(matches!(verify(&auth, &refusal, Role::Reply(nonce)), Err(AuthError::Forged)));
}
