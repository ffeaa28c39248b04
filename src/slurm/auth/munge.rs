//! `auth/munge`, through libmunge at run time: five functions of a C library that is part of
//! every Slurm installation. Each call makes a context of its own, so that threads share nothing.
//!
//! The only file of this layer with foreign functions. Signatures and numbers are those of
//! munge.h (libmunge 0.5).

use crate::slurm::auth::AuthError;
use crate::slurm::auth::Identity;
use crate::slurm::auth::MungeFault;
use crate::slurm::auth::To;
use libloading::Library;
use libloading::Symbol;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const LIBRARY: &str = "libmunge.so.2";

const OPT_TTL: c_int = 4;
const OPT_SOCKET: c_int = 8;
const OPT_UID_RESTRICTION: c_int = 9;

type Context = *mut c_void;
type Create = unsafe extern "C" fn() -> Context;
type Destroy = unsafe extern "C" fn(Context);
type Set = unsafe extern "C" fn(Context, c_int, ...) -> c_int;
type Encode = unsafe extern "C" fn(*mut *mut c_char, Context, *const c_void, c_int) -> c_int;
type Decode = unsafe extern "C" fn(
    *const c_char,
    Context,
    *mut *mut c_void,
    *mut c_int,
    *mut libc::uid_t,
    *mut libc::gid_t,
) -> c_int;

/// slurm.conf's AuthInfo, as far as munge is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// munged's socket, if not the usual one.
    pub socket: Option<PathBuf>,
    /// How long a credential is valid, if not as long as munged says.
    pub ttl_s: Option<u32>,
}

impl Info {
    /// Reads `socket=PATH,ttl=SECONDS`; `cred_expire` is about something else.
    ///
    /// # Errors
    /// [`AuthError::Info`].
    pub fn parse(text: &str) -> Result<Info, AuthError> {
        let mut info = Info::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || AuthError::Info { part: part.to_owned() };
            match part.split_once('=').ok_or_else(wrong)? {
                ("socket", path) if path.starts_with('/') => info.socket = Some(path.into()),
                ("ttl", number) => info.ttl_s = Some(number.parse().map_err(|_| wrong())?),
                ("cred_expire", _) => {}
                _ => return Err(wrong()),
            }
        }
        Ok(info)
    }
}

/// What a credential held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Who made it.
    pub identity: Identity,
    /// What he put in.
    pub payload: Vec<u8>,
}

/// libmunge, loaded.
pub struct Munge {
    library: Library,
    info: Info,
}

impl std::fmt::Debug for Munge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Munge").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A context, freed at the end of its scope.
struct Scope<'a> {
    context: Context,
    destroy: Symbol<'a, Destroy>,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        // SAFETY: made by munge_ctx_create, and freed only here.
        unsafe { (self.destroy)(self.context) }
    }
}

/// Memory from malloc that libmunge handed out, freed at the end of its scope.
struct Owned(*mut c_void);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: null, or from malloc and ours to free, as munge.h says.
        unsafe { libc::free(self.0) }
    }
}

impl Munge {
    /// Loads libmunge, and proves that a credential can be made and read here.
    ///
    /// # Errors
    /// [`AuthError::Library`], [`AuthError::Munge`].
    pub fn load(info: Info) -> Result<Munge, AuthError> {
        let munge = Munge::attach(info)?;
        munge.decode(&munge.encode(b"", To::Anybody)?)?;
        Ok(munge)
    }

    /// Loads libmunge, for who will make a credential at once, and hears then what is wrong.
    ///
    /// # Errors
    /// [`AuthError::Library`].
    pub fn attach(info: Info) -> Result<Munge, AuthError> {
        // SAFETY: libmunge runs nothing at load that could conflict with us.
        let library = unsafe { Library::new(LIBRARY) }.map_err(missing)?;
        Ok(Munge { library, info })
    }

    fn symbol<T>(&self, name: &str) -> Result<Symbol<'_, T>, AuthError> {
        // SAFETY: the types are those of munge.h, and `Symbol` does not outlive the library.
        unsafe { self.library.get(name) }.map_err(missing)
    }

    fn fault(&self, number: c_int, what: &'static str) -> Result<(), AuthError> {
        match MungeFault::from_number(number) {
            None => Ok(()),
            Some(fault) => Err(AuthError::Munge { fault, what, socket: self.info.socket.clone() }),
        }
    }

    fn scope(&self) -> Result<Scope<'_>, AuthError> {
        let create: Symbol<'_, Create> = self.symbol("munge_ctx_create")?;
        let destroy = self.symbol("munge_ctx_destroy")?;
        // SAFETY: takes nothing; null is judged below.
        let context = unsafe { create() };
        if context.is_null() {
            const MEMORY: c_int = 5;
            self.fault(MEMORY, "context")?;
        }
        let scope = Scope { context, destroy };
        let set: Symbol<'_, Set> = self.symbol("munge_ctx_set")?;
        if let Some(path) = &self.info.socket {
            let path = CString::new(path.as_os_str().as_bytes())
                .map_err(|_| AuthError::Info { part: path.display().to_string() })?;
            // SAFETY: OPT_SOCKET takes a string, which it copies.
            self.fault(unsafe { set(scope.context, OPT_SOCKET, path.as_ptr()) }, "socket")?;
        }
        Ok(scope)
    }

    /// Makes a credential for the user of this process: munge's text, without its NUL.
    ///
    /// # Errors
    /// [`AuthError::Munge`].
    pub fn encode(&self, payload: &[u8], to: To) -> Result<Vec<u8>, AuthError> {
        let scope = self.scope()?;
        let set: Symbol<'_, Set> = self.symbol("munge_ctx_set")?;
        if let Some(ttl_s) = self.info.ttl_s {
            let ttl_s = c_int::try_from(ttl_s).unwrap_or(c_int::MAX);
            // SAFETY: OPT_TTL takes an int.
            self.fault(unsafe { set(scope.context, OPT_TTL, ttl_s) }, "time to live")?;
        }
        if let To::Uid(uid) = to {
            let uid: libc::uid_t = uid;
            // SAFETY: OPT_UID_RESTRICTION takes a uid_t.
            self.fault(unsafe { set(scope.context, OPT_UID_RESTRICTION, uid) }, "restriction")?;
        }
        let encode: Symbol<'_, Encode> = self.symbol("munge_encode")?;
        let len = c_int::try_from(payload.len()).unwrap_or(c_int::MAX);
        let mut text: *mut c_char = std::ptr::null_mut();
        // SAFETY: `payload` lives as long as the call, `text` is where the result goes.
        let number = unsafe { encode(&mut text, scope.context, payload.as_ptr().cast(), len) };
        let owned = Owned(text.cast());
        self.fault(number, "encode")?;
        // SAFETY: on success a string that ends with NUL, which `owned` keeps alive.
        let bytes = unsafe { std::ffi::CStr::from_ptr(owned.0.cast()) }.to_bytes().to_vec();
        Ok(bytes)
    }

    /// Reads a credential, which can be done once: munged remembers it.
    ///
    /// # Errors
    /// [`AuthError::Munge`]: forged, expired, replayed, for somebody else.
    pub fn decode(&self, credential: &[u8]) -> Result<Decoded, AuthError> {
        let scope = self.scope()?;
        let Ok(text) = CString::new(credential) else {
            const FORMAT: c_int = 8;
            self.fault(FORMAT, "decode")?;
            unreachable!("a fault with a number is an error");
        };
        let decode: Symbol<'_, Decode> = self.symbol("munge_decode")?;
        let (mut data, mut len) = (std::ptr::null_mut(), 0);
        let (mut uid, mut gid) = (libc::uid_t::MAX, libc::gid_t::MAX);
        // SAFETY: every pointer is to a local of the type that munge.h names.
        let number = unsafe {
            decode(text.as_ptr(), scope.context, &mut data, &mut len, &mut uid, &mut gid)
        };
        let owned = Owned(data);
        self.fault(number, "decode")?;
        let len = if owned.0.is_null() { 0 } else { usize::try_from(len).unwrap_or(0) };
        let mut payload = vec![0; len];
        if len > 0 {
            // SAFETY: munge wrote `len` bytes there, and `payload` has as many.
            unsafe { std::ptr::copy_nonoverlapping(owned.0.cast(), payload.as_mut_ptr(), len) };
        }
        Ok(Decoded { identity: Identity { uid, gid }, payload })
    }
}

fn missing(error: libloading::Error) -> AuthError {
    AuthError::Library { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_info_is_read_and_what_is_not_understood_is_named() {
        let info = Info::parse("socket=/run/m.sock,ttl=60,cred_expire=120").unwrap();
        assert_eq!(info, Info { socket: Some("/run/m.sock".into()), ttl_s: Some(60) });
        assert_eq!(Info::parse("").unwrap(), Info::default());
        for wrong in ["socket=relative", "ttl=x", "nothing", "other=1"] {
            let error = Info::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
