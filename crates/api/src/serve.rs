//! From an HTTP request to an answer: which service, who calls, which operation.

use crate::about::Wire;
use crate::call::{Call, Services, unknown_operation};
use crate::last_used::LastUses;
use crate::query::{ApiError, Params, decode, respond_error};
use crate::signed;
use crate::{Service, iam, rds, sts, truststore};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Method, StatusCode, header};
use sigv4::Timestamp;
use sigv4::request::SignedRequest;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The longest body that is read, in bytes.
const LONGEST_BODY: usize = 1 << 20;

/// The most characters of an operation's name that go into the log and an error.
const LONGEST_NAME: usize = 128;

/// The most characters of an error that go into the log.
const LONGEST_MESSAGE: usize = 1024;

/// How long a body may take to arrive: nobody is known by then, so nobody may hold a connection for longer.
const SLOWEST_BODY: Duration = Duration::from_secs(30);

struct Api {
    services: Arc<Services>,
    last_uses: LastUses,
    stranger: signed::Stranger,
}

/// The APIs at `/`, `GET /health`, and the trust store.
///
/// Conditions on `aws:SourceIp` need it to be served with the peer's address (`into_make_service_with_connect_info`).
pub fn router(services: Arc<Services>) -> Router {
    let api = Arc::new(Api {
        services: services.clone(),
        last_uses: LastUses::default(),
        stranger: signed::Stranger::default(),
    });
    let calls = Router::new().route("/", get(answer).post(answer)).with_state(api);
    let bundles = Router::new().route("/{folder}/{file}", get(truststore::get)).with_state(services);
    calls.merge(bundles).route("/health", get(async || "ok")).fallback(truststore::other)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let request_id = Uuid::new_v4();
    let mut seen = Seen::default();
    let result = handle(&api, request, request_id, &mut seen).await;
    let service = seen.service.unwrap_or(Service::Iam);
    let (service_name, operation) = (service.name(), seen.operation.as_str());
    let (key, caller) = (seen.access_key_id.as_str(), seen.caller.as_str());
    match result {
        Ok(response) => {
            tracing::info!(%request_id, service = service_name, operation, key, caller, "answered");
            response
        }
        Err(error) => {
            let (code, message) =
                (&*error.code, error.message.chars().take(LONGEST_MESSAGE).collect::<String>());
            tracing::info!(%request_id, service = service_name, operation, key, caller, code, message, "refused");
            respond_error(&error, service, request_id)
        }
    }
}

/// What is known of a call so far, for the log and for the form of an error.
#[derive(Default)]
struct Seen {
    service: Option<Service>,
    operation: String,
    access_key_id: String,
    caller: String,
}

async fn handle(
    api: &Api,
    request: Request,
    request_id: Uuid,
    seen: &mut Seen,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let body = whole(body).await?;
    let query = parts.uri.query().unwrap_or_default();
    let form = form(&parts.method, &parts.headers, query, &body);
    let value = |name: &str| form.as_ref().ok().and_then(|form| form.get(name)).map(String::as_str);
    seen.operation = value("Action").unwrap_or_default().chars().take(LONGEST_NAME).collect();
    let asked = value("Version").and_then(Service::of_version);
    seen.service = asked;

    let now = api.services.now();
    let snapshot = api.services.published.current();
    let headers = signed::headers(&parts.headers);
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let request = sigv4::request::Request {
        method,
        path,
        query,
        headers: &headers,
        body: sigv4::request::Body::Bytes(&body),
    };
    let request = SignedRequest::parse(&request).map_err(|error| signed::refused(&error))?;
    seen.access_key_id = request.access_key_id().to_owned();
    seen.service = asked.or_else(|| signed::scoped_service(&request));
    let time = Timestamp::from_unix(now.unix_timestamp());
    let signed = signed::verify(&request, &snapshot, &api.stranger, asked, time)?;
    seen.service = Some(signed.service);
    seen.caller = signed.caller.arn.to_string();

    let mut form = form?;
    let (_, version) = (form.remove("Action"), form.remove("Version"));
    if seen.operation.is_empty() {
        return Err(ApiError::new("MissingAction", "The request must contain the parameter Action"));
    }
    if version.as_deref() != Some(signed.service.version()) {
        let version: String =
            version.as_deref().unwrap_or("NO_VERSION_SPECIFIED").chars().take(LONGEST_NAME).collect();
        return Err(unknown_operation(&seen.operation, &version));
    }
    api.last_uses.note(&api.services, signed.credential, signed.service, &signed.region, now);
    let params = Params::new(signed.service, form);
    let call = Call {
        services: &api.services,
        snapshot: &snapshot,
        credential: signed.credential,
        caller: signed.caller,
        service: signed.service,
        operation: &seen.operation,
        region: signed.region,
        request_id,
        now,
        wire: Wire::new(peer, &parts.headers),
    };
    match call.service {
        Service::Rds => rds::dispatch(&call, params).await,
        Service::Iam => iam::dispatch(&call, params).await,
        Service::Sts => sts::dispatch(&call, params).await,
    }
}

/// The whole body, if it is not too long and does not take too long.
async fn whole(body: Body) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(SLOWEST_BODY, to_bytes(body, LONGEST_BODY)).await.map_err(|_| {
        ApiError::new(
            "RequestTimeout",
            format!("The body did not arrive within {} s", SLOWEST_BODY.as_secs()),
        )
        .with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    read.map_err(|_| {
        ApiError::new(
            "RequestEntityTooLarge",
            format!("The body is not complete or longer than {LONGEST_BODY} bytes"),
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    })
}

/// The parameters: of the query, but for those of the signature, and of a form in the body.
fn form(
    method: &Method,
    headers: &HeaderMap,
    query: &str,
    body: &[u8],
) -> Result<BTreeMap<String, String>, ApiError> {
    let of_call = |pair: &&str| !pair.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    let query = query.split('&').filter(of_call).collect::<Vec<_>>().join("&");
    if body.is_empty() {
        return decode(&[&query]);
    }
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if method != Method::POST || !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::malformed_query(
            "A body is expected in a POST as application/x-www-form-urlencoded",
        ));
    }
    let body = std::str::from_utf8(body)
        .map_err(|_| ApiError::malformed_query("The query string contains a syntax error"))?;
    decode(&[&query, body])
}
