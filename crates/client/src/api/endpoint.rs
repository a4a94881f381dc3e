//! Where a service is asked, and with which region in the signature.

use ::http::Uri;
use aws_config::BehaviorVersion;
use aws_types::service_config::ServiceConfigKey;
use iam::Region;

use super::Service;

/// The addresses that environment and profile set, for each service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointUrls {
    /// Of RDS.
    pub rds: Option<String>,
    /// Of IAM.
    pub iam: Option<String>,
    /// Of STS.
    pub sts: Option<String>,
}

impl EndpointUrls {
    /// The same for all services.
    pub fn all(url: &str) -> Self {
        let url = Some(url.to_owned());
        Self { rds: url.clone(), iam: url.clone(), sts: url }
    }

    /// What is configured, as the AWS SDKs look for it: `AWS_ENDPOINT_URL_RDS` and its like, `AWS_ENDPOINT_URL`, then the
    /// profile's `services` section and its `endpoint_url`; none where `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` says so.
    pub async fn configured(profile: Option<&str>, region: &Region) -> Self {
        // A region that is known is not looked for.
        let region = aws_config::Region::new(region.to_string());
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region).no_credentials();
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let value = |service_id: &str, env: &str, profile: &str| {
            let key =
                ServiceConfigKey::builder().service_id(service_id).env(env).profile(profile).build().ok()?;
            config.service_config()?.load_config(key).filter(|value| !value.is_empty())
        };
        // The SDKs heed this for the addresses of single services only from some version on.
        let ignored = value("", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls");
        if ignored.is_some_and(|ignored| ignored.eq_ignore_ascii_case("true")) {
            return Self::default();
        }
        let of = |service_id: &str| value(service_id, "AWS_ENDPOINT_URL", "endpoint_url");
        Self { rds: of("rds"), iam: of("iam"), sts: of("sts") }
    }

    fn of(&self, service: Service) -> Option<&str> {
        match service {
            Service::Rds => self.rds.as_deref(),
            Service::Iam => self.iam.as_deref(),
            Service::Sts => self.sts.as_deref(),
        }
    }
}

/// Why an endpoint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{url}`, which AWS_ENDPOINT_URL or the profile sets for {service}, is not an address: expected `https://host:port`"
)]
pub struct UrlError {
    url: String,
    service: &'static str,
}

/// Where a service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEndpoint {
    uri: Uri,
    signing_region: String,
    amazon: bool,
}

impl ServiceEndpoint {
    pub(super) fn of(service: Service, region: &Region, urls: &EndpointUrls) -> Result<Self, UrlError> {
        let configured = urls.of(service);
        let (text, signing_region) = match configured {
            // Whoever is there has no global services: as with the CLI's --endpoint-url, the region is the configured one.
            Some(url) => (url.to_owned(), region.as_str()),
            None => {
                let (host, signing_region) = amazon(service, region.as_str());
                (format!("https://{host}/"), signing_region)
            }
        };
        let refused = || UrlError {
            url: text.split(['?', '#']).next().unwrap_or_default().to_owned(),
            service: service.name(),
        };
        let uri: Uri = text.parse().map_err(|_| refused())?;
        if uri.scheme().is_none() || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(refused());
        }
        Ok(Self { uri, signing_region: signing_region.to_owned(), amazon: configured.is_none() })
    }

    /// The whole address.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The region of the signature.
    pub fn signing_region(&self) -> &str {
        &self.signing_region
    }

    /// Whether it is Amazon's own, and none that is configured.
    pub fn is_amazon(&self) -> bool {
        self.amazon
    }

    /// The `host` header: with the port where it is not the scheme's.
    pub(super) fn host_header(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        match (self.uri.port_u16(), self.uri.scheme_str()) {
            (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => host.to_owned(),
            (Some(port), _) => format!("{host}:{port}"),
        }
    }
}

/// Amazon's host for a service, and the region of the signature.
fn amazon(service: Service, region: &str) -> (String, &str) {
    let starts = |with: &str| region.starts_with(with);
    // Partition by partition: the suffix of host names, then IAM's one endpoint and the region that it is signed for.
    let (suffix, iam_host, iam_region) = if starts("cn-") {
        ("amazonaws.com.cn", "iam.cn-north-1", "cn-north-1")
    } else if starts("us-gov-") {
        ("amazonaws.com", "iam.us-gov", "us-gov-west-1")
    } else if starts("us-iso-") {
        ("c2s.ic.gov", "iam.us-iso-east-1", "us-iso-east-1")
    } else if starts("us-isob-") {
        ("sc2s.sgov.gov", "iam.us-isob-east-1", "us-isob-east-1")
    } else if starts("eu-isoe-") {
        ("cloud.adc-e.uk", "iam.eu-isoe-west-1", "eu-isoe-west-1")
    } else if starts("us-isof-") {
        ("csp.hci.ic.gov", "iam.us-isof-south-1", "us-isof-south-1")
    } else if starts("eusc-") {
        ("amazonaws.eu", "iam.eusc-de-east-1", "eusc-de-east-1")
    } else {
        ("amazonaws.com", "iam", "us-east-1")
    };
    match service {
        Service::Iam => (format!("{iam_host}.{suffix}"), iam_region),
        Service::Rds | Service::Sts => (format!("{}.{region}.{suffix}", service.name()), region),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_hosts() {
        let none = EndpointUrls::default();
        for (service, region, host, signing_region) in [
            (Service::Rds, "eu-central-1", "rds.eu-central-1.amazonaws.com", "eu-central-1"),
            (Service::Sts, "us-east-1", "sts.us-east-1.amazonaws.com", "us-east-1"),
            (Service::Iam, "eu-central-1", "iam.amazonaws.com", "us-east-1"),
            (Service::Rds, "cn-northwest-1", "rds.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
            (Service::Iam, "cn-northwest-1", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            (Service::Iam, "us-gov-east-1", "iam.us-gov.amazonaws.com", "us-gov-west-1"),
            (Service::Sts, "us-gov-east-1", "sts.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
            (Service::Iam, "us-iso-west-1", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
            (Service::Rds, "us-isob-east-1", "rds.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
            (Service::Iam, "eusc-de-east-1", "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ] {
            let endpoint = ServiceEndpoint::of(service, &region.parse().unwrap(), &none).unwrap();
            assert_eq!(endpoint.uri().to_string(), format!("https://{host}/"));
            assert_eq!((endpoint.signing_region(), endpoint.host_header().as_str()), (signing_region, host));
            assert!(endpoint.is_amazon());
        }
    }

    #[test]
    fn a_configured_address_is_signed_for_the_configured_region() {
        let region: Region = "eu-west-1".parse().unwrap();
        for (url, host) in [
            ("http://127.0.0.1:4590", "127.0.0.1:4590"),
            ("https://countersign.example:443/", "countersign.example"),
            ("http://[::1]:80/x", "[::1]"),
        ] {
            let endpoint = ServiceEndpoint::of(Service::Iam, &region, &EndpointUrls::all(url)).unwrap();
            assert_eq!((endpoint.signing_region(), endpoint.host_header().as_str()), ("eu-west-1", host));
            assert!(!endpoint.is_amazon());
        }
        for url in ["localhost:4590", "/x", "http://h/?x=secret", "http://a b"] {
            let error = ServiceEndpoint::of(Service::Rds, &region, &EndpointUrls::all(url)).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
