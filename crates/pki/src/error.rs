//! What can be wrong with a name, a certificate or a key. Never carries key material.

use time::OffsetDateTime;

/// Why a certificate could not be made, loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// No authority has this identifier.
    #[error("unknown certificate authority `{0}`: expected `rds-ca-ecc384-g1` or `rds-ca-rsa2048-g1`")]
    UnknownIdentifier(String),
    /// The region cannot be part of an authority's name.
    #[error("invalid region `{0}`: expected lower-case letters, digits and hyphens, as in `us-east-1`")]
    Region(String),
    /// A host name that no certificate can carry.
    #[error("invalid host name `{0}` for a server certificate: expected a DNS name without wildcards")]
    HostName(String),
    /// A certificate that names no host would match none.
    #[error("a server certificate needs at least one host name or address")]
    NoNames,
    /// The period asked for is empty, or lies outside that of the authority.
    #[error("no validity from {from} to {till}: the authority `{authority}` is valid to {valid_till}")]
    Validity {
        /// Common name of the authority.
        authority: String,
        /// Last moment of the authority.
        valid_till: OffsetDateTime,
        /// First moment asked for.
        from: OffsetDateTime,
        /// Last moment possible.
        till: OffsetDateTime,
    },
    /// Text that is not a certificate.
    #[error("not a PEM certificate: {0}")]
    Certificate(&'static str),
    /// A certificate that none of our authorities has.
    #[error("the certificate of `{0}` is not that of an authority made by Countersign")]
    NotAnAuthority(String),
    /// Text that is not a private key of a known kind.
    #[error("not a PEM private key (PKCS#8) of an authority")]
    Key,
    /// The key signs for another certificate.
    #[error("the private key does not belong to the certificate of `{0}`")]
    KeyMismatch(String),
    /// The crypto library failed.
    #[error("cannot make a certificate")]
    Crypto(#[from] rcgen::Error),
    /// The crypto library gave no randomness.
    #[error("no randomness for a serial number")]
    Randomness,
}
