//! The certificate and key with which we take part, and the OpenSSL settings made from them.

use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Private, Public};
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509NameBuilder};

use crate::fingerprint::Fingerprint;
use crate::srtp::SrtpProfile;

/// ECDHE with an authenticated cipher, as RFC 8827 section 6.5 asks. ECDSA first (our own kind);
/// RSA for the time when we are the client of an RSA server.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
/// DTLS 1.2 has no use for OpenSSL's hybrid groups, which would only make our ClientHello longer.
const GROUPS: &str = "X25519:P-256:P-384";
/// Level 1 of OpenSSL: 80 bits, which still admits RSA-2048 and old RSA-1024 browser certificates.
const SECURITY_LEVEL: u32 = 1;
/// Verifying grows with the square of the key; nobody generates longer ones.
const MAX_RSA_BITS: u32 = 8192;
/// Peers compare the fingerprint, not the dates: fixed ones, so that no clock is read.
const NOT_BEFORE: &str = "20200101000000Z";
const NOT_AFTER: &str = "20991231235959Z";

/// Why an identity could not be made. Our side is wrong: its files or its OpenSSL.
#[derive(Debug, thiserror::Error)]
#[error("certificate or key cannot be used: {0}")]
pub struct IdentityError(#[from] ErrorStack);

/// A certificate with its key. Cloning shares it; one serves any number of associations.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    server: SslContext,
    client: SslContext,
    fingerprint: [u8; 32],
}

impl Identity {
    /// A new ECDSA P-256 key with a self-signed certificate: small enough that the server's whole
    /// flight fits into one datagram.
    ///
    /// # Errors
    /// OpenSSL found no randomness or memory.
    pub fn generate() -> Result<Self, IdentityError> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let cert = self_signed(&key)?;
        Self::new(&cert, &key)
    }

    /// From the PEM texts of a certificate and its private key (ECDSA or RSA).
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, IdentityError> {
        Self::new(&X509::from_pem(certificate)?, &PKey::private_key_from_pem(private_key)?)
    }

    fn new(cert: &X509, key: &PKey<Private>) -> Result<Self, IdentityError> {
        Self::offering(cert, key, &SrtpProfile::PREFERENCE, CIPHERS)
    }

    fn offering(
        cert: &X509,
        key: &PKey<Private>,
        profiles: &[SrtpProfile],
        ciphers: &str,
    ) -> Result<Self, IdentityError> {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&cert.digest(MessageDigest::sha256())?);
        Ok(Self(Arc::new(Inner {
            server: context(SslMethod::dtls_server(), cert, key, profiles, ciphers)?,
            client: context(SslMethod::dtls_client(), cert, key, profiles, ciphers)?,
            fingerprint,
        })))
    }

    /// SHA-256 of our certificate.
    #[must_use]
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.0.fingerprint
    }

    /// The same as it stands in SDP.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::sha256(&self.0.fingerprint)
    }

    pub(crate) fn server_context(&self) -> &SslContext {
        &self.0.server
    }

    pub(crate) fn client_context(&self) -> &SslContext {
        &self.0.client
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.fingerprint().to_string()).finish()
    }
}

fn self_signed(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "airside")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(63, MsbOption::MAYBE_ZERO, false)?;

    let mut cert = X509::builder()?;
    cert.set_version(2)?;
    cert.set_serial_number(&*serial.to_asn1_integer()?)?;
    cert.set_subject_name(&name)?;
    cert.set_issuer_name(&name)?;
    cert.set_not_before(&*Asn1Time::from_str(NOT_BEFORE)?)?;
    cert.set_not_after(&*Asn1Time::from_str(NOT_AFTER)?)?;
    cert.set_pubkey(key)?;
    cert.sign(key, MessageDigest::sha256())?;
    Ok(cert.build())
}

fn context(
    method: SslMethod,
    cert: &X509,
    key: &PKey<Private>,
    profiles: &[SrtpProfile],
    ciphers: &str,
) -> Result<SslContext, ErrorStack> {
    let mut ctx = SslContextBuilder::new(method)?;
    ctx.set_security_level(SECURITY_LEVEL);
    ctx.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    ctx.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    ctx.set_cipher_list(ciphers)?;
    ctx.set_groups_list(GROUPS)?;
    ctx.set_tlsext_use_srtp(&SrtpProfile::openssl_list(profiles))?;
    ctx.set_certificate(cert)?;
    ctx.set_private_key(key)?;
    ctx.check_private_key()?;
    ctx.set_options(
        // No resumption: keys of a new association come from a new exchange.
        SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_QUERY_MTU
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    ctx.set_session_cache_mode(SslSessionCacheMode::OFF);
    // An idle association keeps no 16 kB buffers.
    ctx.set_mode(SslMode::RELEASE_BUFFERS);
    // Self-signed certificates are the rule: the fingerprint decides, once the key is proven.
    ctx.set_verify_callback(
        SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        |_trusted, chain| {
            chain
                .current_cert()
                .and_then(|cert| cert.public_key().ok())
                .is_some_and(|key| acceptable(&key))
        },
    );
    Ok(ctx.build())
}

fn acceptable(key: &PKeyRef<Public>) -> bool {
    match key.id() {
        Id::EC | Id::ED25519 => true,
        Id::RSA | Id::RSA_PSS => key.bits() <= MAX_RSA_BITS,
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use openssl::rsa::Rsa;

    use super::*;

    /// An identity as other endpoints have them: RSA of a chosen size.
    pub(crate) fn rsa_identity(bits: u32) -> Identity {
        let key = PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
        let cert = self_signed(&key).unwrap();
        let (cert, key) = (cert.to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap());
        Identity::from_pem(&cert, &key).unwrap()
    }

    /// An ECDSA identity that offers these profiles in this order.
    pub(crate) fn identity_offering(profiles: &[SrtpProfile]) -> Identity {
        ecdsa_identity(profiles, CIPHERS)
    }

    /// An ECDSA identity of which these ciphers are taken.
    pub(crate) fn identity_with(ciphers: &str) -> Identity {
        ecdsa_identity(&SrtpProfile::PREFERENCE, ciphers)
    }

    fn ecdsa_identity(profiles: &[SrtpProfile], ciphers: &str) -> Identity {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        Identity::offering(&self_signed(&key).unwrap(), &key, profiles, ciphers).unwrap()
    }

    #[test]
    fn generated_identities_differ() {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(one.fingerprint_sha256(), other.fingerprint_sha256());
        assert_eq!(one.clone().fingerprint_sha256(), one.fingerprint_sha256());
        assert_eq!(one.fingerprint().bytes(), one.fingerprint_sha256());
    }

    #[test]
    fn keys_too_long_to_verify_are_refused() {
        for (bits, accepted) in [(2048, true), (8192, true), (8193, false), (16_000, false)] {
            let mut modulus = BigNum::new().unwrap();
            modulus.rand(bits, MsbOption::ONE, true).unwrap();
            let exponent = BigNum::from_u32(65537).unwrap();
            let rsa = Rsa::from_public_components(modulus, exponent).unwrap();
            assert_eq!(acceptable(&PKey::from_rsa(rsa).unwrap()), accepted, "{bits}");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let cert = self_signed(&key).unwrap().to_pem().unwrap();
        let other = Rsa::generate(2048).unwrap().private_key_to_pem().unwrap();
        assert!(Identity::from_pem(&cert, &other).is_err());
        assert!(Identity::from_pem(b"", &other).is_err());
        assert!(ErrorStack::get().errors().is_empty(), "queue left clean");
    }
}
