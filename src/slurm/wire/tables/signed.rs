//! A [`Cred`] with its signature. The signature is of the very bytes that travel, so that they are
//! kept as they came.

use crate::slurm::wire::Blob;
use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::tables::Cred;
use crate::slurm::wire::unpack_all;

/// A permission as it travels: the bytes of a [`Cred`], then `mem`: the signature.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedCred {
    packed: Vec<u8>,
    version: Version,
    /// With `cred/munge` a munge credential, with its NUL, whose payload is [`SignedCred::packed`].
    pub signature: Blob,
}

impl SignedCred {
    /// Signs `cred` as `version` lays it out.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn new<E>(
        cred: &Cred,
        version: Version,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<SignedCred, E> {
        let mut out = Writer::new(version);
        cred.pack(&mut out);
        let packed = out.into_bytes();
        let signature = Blob(sign(&packed)?);
        Ok(SignedCred { packed, version, signature })
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// What they permit; nobody has checked the signature yet.
    ///
    /// # Errors
    /// None: they have been read before.
    pub fn cred(&self) -> Result<Cred, WireError> {
        unpack_all(&self.packed, self.version)
    }
}

impl Default for SignedCred {
    /// An empty permission, signed by nobody.
    fn default() -> Self {
        let sign = |_: &[u8]| Ok::<_, std::convert::Infallible>(Vec::new());
        match SignedCred::new(&Cred::default(), Version::NEWEST, sign) {
            Ok(signed) => signed,
            Err(never) => match never {},
        }
    }
}

impl Field for SignedCred {
    const KIND: &'static str = "Cred+mem";
    const LEAST: usize = Cred::LEAST + Blob::LEAST;

    fn pack(&self, out: &mut Writer) {
        out.put(&self.packed);
        self.signature.pack(out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let from = input.at();
        Cred::unpack(input)?;
        let packed = input.since(from).to_vec();
        Ok(SignedCred { packed, version: input.version(), signature: Blob::unpack(input)? })
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let signature = Blob::sample(choose).0;
        let sign = |_: &[u8]| Ok::<_, std::convert::Infallible>(signature);
        match SignedCred::new(&Cred::sample(choose), Version::NEWEST, sign) {
            Ok(signed) => signed,
            Err(never) => match never {},
        }
    }
}

/// A value behind the number of the version in which it is laid out, which is the message's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versioned<T>(pub T);

impl<T: Field> Field for Versioned<T> {
    const KIND: &'static str = "u16+";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 2 + T::LEAST;

    fn pack(&self, out: &mut Writer) {
        out.version().0.pack(out);
        self.0.pack(out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u16::unpack(input)? {
            version if version == input.version().0 => T::unpack(input).map(Versioned),
            other => Err(input.fails(Why::Version(other))),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        Versioned(T::sample(choose))
    }
}
