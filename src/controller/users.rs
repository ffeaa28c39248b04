//! Users by name, as the system knows them. The only foreign functions of this layer.

use std::ffi::CString;
use std::io;
use std::ptr;

/// Most bytes that a user's entry takes.
const ENTRY_MAX: usize = 64 << 10;

/// The uid of `name`: a number stands for itself.
///
/// # Errors
/// `NotFound`, and those of the system.
pub fn uid(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let c_name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    let mut buffer = vec![0; ENTRY_MAX];
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: every pointer is to something that lives until the call returns, and the length is
    // the buffer's.
    let error = unsafe {
        let (bytes, len) = (buffer.as_mut_ptr(), buffer.len());
        libc::getpwnam_r(c_name.as_ptr(), &raw mut entry, bytes, len, &raw mut found)
    };
    match (error, found.is_null()) {
        (0, false) => Ok(entry.pw_uid),
        (0, true) => Err(io::ErrorKind::NotFound.into()),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::uid;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(uid("root").unwrap(), 0);
        assert_eq!(uid("12").unwrap(), 12);
        assert!(uid("no such user").is_err());
    }
}
