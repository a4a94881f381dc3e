//! Making secrets: access key secrets and security tokens. They leave here once, in the answer that hands them out.

use crate::call::Services;
use crate::query::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// What every security token starts with; after base64, `Q291bnRlcnNpZ24B`.
const TOKEN_PREFIX: &[u8; 12] = b"Countersign\x01";

/// A secret access key: 40 characters of the base64 alphabet, 240 random bits.
pub(crate) fn secret_access_key(services: &Services) -> Result<Zeroizing<String>, ApiError> {
    let random = Zeroizing::new(services.random::<30>()?);
    Ok(Zeroizing::new(STANDARD.encode(random.as_slice())))
}

/// A security token: 128 characters, opaque. It says nothing; what it stands for is kept here.
pub(crate) fn security_token(services: &Services) -> Result<Zeroizing<String>, ApiError> {
    let random = Zeroizing::new(services.random::<84>()?);
    let bytes = Zeroizing::new([TOKEN_PREFIX.as_slice(), random.as_slice()].concat());
    Ok(Zeroizing::new(STANDARD.encode(bytes.as_slice())))
}
