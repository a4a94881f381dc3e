//! The examination: which step is tried, and which is skipped because of what went before.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use client::api::{Api, ApiError, EndpointUrls, Found, Identity, Service};
use client::{Bundle, Chain, Endpoint, Host, RegionChoiceError, region_of, trust};
use iam::Region;
use zeroize::Zeroizing;

use crate::finding::{Finding, Report, Status, Step};
use crate::network::Dialled;
use crate::refusal::Tried;
use crate::{
    Engine, Environment, Question, accounts, certificate, database, login, network, policy, protocol, source,
};

/// Examines a login. `environment` is what the process has.
pub async fn examine(question: &Question, environment: &Environment<'_>) -> Report {
    let mut examination = Examination { question, environment, truststore: None, findings: Vec::new() };
    let (port, engine) = examination.run().await;
    Report::new(
        question.host.to_string(),
        port,
        engine.map(|engine| engine.as_str().to_owned()),
        question.user.clone(),
        examination.findings,
    )
}

struct Examination<'a> {
    question: &'a Question,
    environment: &'a Environment<'a>,
    /// Where a Countersign has its certificates.
    truststore: Option<String>,
    findings: Vec<Finding>,
}

/// The two callers that there may be, and what they found.
struct Asked {
    /// Who logs in.
    login: Option<Api>,
    /// Who asks about the database, if that is another.
    other: Option<Api>,
    /// Nothing where it was not asked.
    found: Option<Result<Found, ApiError>>,
    caller: Option<Result<Identity, ApiError>>,
    /// Why nothing is asked, or no more.
    silent: Option<String>,
}

impl Asked {
    fn api(&self) -> Option<&Api> {
        self.other.as_ref().or(self.login.as_ref())
    }

    fn found(&self) -> Option<&Found> {
        self.found.as_ref()?.as_ref().ok()
    }
}

/// The server, reached and verified.
struct Reached {
    address: SocketAddr,
    bundle: Bundle,
}

impl Examination<'_> {
    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn skip(&mut self, steps: &[Step], why: &str) {
        self.findings.extend(steps.iter().map(|step| Finding::skipped(*step, why)));
    }

    async fn run(&mut self) -> (Option<u16>, Option<Engine>) {
        let Question { host, user, profile, ask_api, .. } = self.question;
        let chosen = region_of(host, self.question.region.as_ref(), profile.as_deref()).await;
        self.add(source::explain_region(host, self.question.region.as_ref(), &chosen));
        let region = chosen.as_ref().ok();
        if let Some(region) = region {
            self.truststore = EndpointUrls::configured(profile.as_deref(), region).await.rds;
        }

        let now = SystemTime::now();
        let chain = Arc::new(Chain::load(profile.as_deref(), region).await);
        let credentials = chain.credentials(now).await;
        let explained = source::explain_credentials(
            credentials.as_ref().map(AsRef::as_ref),
            profile.as_deref(),
            self.environment,
            now,
        );
        self.add(explained);

        let asked = match region {
            Some(region) if *ask_api => self.ask(region, &chain, credentials.is_ok()).await,
            Some(_) => silent("--no-api"),
            None => silent("the region is not known (finding `region`)"),
        };
        let found = asked.found();
        let engine = self.question.engine.or_else(|| found.and_then(|found| Engine::of_rds(&found.engine)));
        let port = self.question.port.or_else(|| found?.port);
        let engine = engine.or(match port {
            Some(5432) => Some(Engine::Postgres),
            Some(3306) => Some(Engine::MySql),
            _ => None,
        });
        let port = port.unwrap_or_else(|| engine.unwrap_or(Engine::Postgres).default_port());

        let (reached, engine) = self.reach(port, engine, &chosen, found).await;
        self.clock(&asked).await;

        let token = match (region, &credentials) {
            (Some(region), Ok(credentials)) => {
                let endpoint = Endpoint { host: host.to_string(), port, region: region.clone() };
                match endpoint.token(user, credentials, SystemTime::now()) {
                    Ok(token) => {
                        let version = found.map(|found| found.engine_version.as_str());
                        self.add(source::explain_token(token.len(), engine, version, host.rds().is_some()));
                        Some(token)
                    }
                    Err(error) => {
                        let finding = Finding::failed(Step::Token, error.to_string())
                            .expected("a host, a user and credentials that a token can hold")
                            .mend("correct --host or --user");
                        self.add(finding);
                        None
                    }
                }
            }
            (None, _) => {
                self.skip(&[Step::Token], "the region is not known (finding `region`)");
                None
            }
            (_, Err(_)) => {
                self.skip(&[Step::Token], "there are no credentials (finding `credentials`)");
                None
            }
        };

        self.log_in(reached.as_ref(), engine, found, token.as_ref()).await;
        self.tell_api(&asked, port).await;
        let signer = region.zip(credentials.as_deref().ok());
        self.administrate(reached.as_ref(), engine, port, signer).await;
        (Some(port), engine)
    }

    /// Asks the API about the caller and the database; no more once it does not answer.
    async fn ask(&self, region: &Region, chain: &Arc<Chain>, credentials: bool) -> Asked {
        let Question { host, port, profile, api_profile, .. } = self.question;
        let configured = async |chain: Arc<Chain>, profile: Option<&str>| {
            Api::configured(chain, profile, region.clone()).await.map_err(|error| error.to_string())
        };
        let login = match configured(chain.clone(), profile.as_deref()).await {
            Ok(api) => api,
            Err(why) => return silent(&why),
        };
        let other = match api_profile {
            Some(profile) => {
                let chain = Arc::new(Chain::load(Some(profile), Some(region)).await);
                match configured(chain, Some(profile)).await {
                    Ok(api) => Some(api),
                    Err(why) => return silent(&why),
                }
            }
            None => None,
        };
        let mut asked = Asked { login: Some(login), other, found: None, caller: None, silent: None };
        if credentials && let Some(api) = &asked.login {
            let caller = api.caller().await;
            if let Err(ApiError::Http(error)) = &caller {
                return Asked { silent: Some(error.to_string()), ..asked };
            }
            asked.caller = Some(caller);
        }
        if !credentials && asked.other.is_none() {
            return Asked {
                silent: Some("there are no credentials (finding `credentials`)".to_owned()),
                ..asked
            };
        }
        let found = match asked.api() {
            Some(api) => Some(find(api, host, *port).await),
            None => None,
        };
        if let Some(Err(ApiError::Http(error))) = &found {
            return Asked { silent: Some(error.to_string()), ..asked };
        }
        Asked { found, ..asked }
    }

    /// The way to the server, up to verified TLS.
    async fn reach(
        &mut self,
        port: u16,
        engine: Option<Engine>,
        region: &Result<Region, RegionChoiceError>,
        found: Option<&Found>,
    ) -> (Option<Reached>, Option<Engine>) {
        let host = &self.question.host;
        let resolved = network::resolve(host).await;
        let name = network::explain_name(host, &resolved, found);
        self.add(name);
        let addresses: Vec<IpAddr> = resolved.unwrap_or_default();
        if addresses.is_empty() {
            self.skip(
                &[Step::Port, Step::Protocol, Step::Certificate],
                "the name does not resolve (finding `name`)",
            );
            return (None, engine);
        }
        let dialled = network::dial(&addresses, port).await;
        self.add(network::explain_port(host, port, &dialled, found));
        let Some((address, _)) = dialled.iter().find(|(_, came)| *came == Dialled::Answered) else {
            self.skip(&[Step::Protocol, Step::Certificate], "the port does not answer (finding `port`)");
            return (None, engine);
        };
        let address = SocketAddr::new(*address, port);
        let spoken = protocol::listen(address, engine).await;
        let engine = engine.or_else(|| spoken.engine());
        let told = protocol::explain(&spoken, engine.unwrap_or(Engine::Postgres), port);
        let begins_tls = told.status == Status::Ok;
        self.add(told);
        let Some(engine) = engine.filter(|_| begins_tls) else {
            self.skip(&[Step::Certificate], "the server does not begin TLS (finding `protocol`)");
            return (None, engine);
        };
        let bundle = match self.bundle(region).await {
            Ok(Some(bundle)) => bundle,
            Ok(None) => {
                let why = "without the region it is not known whom to trust (finding `region`)";
                self.skip(&[Step::Certificate], why);
                return (None, Some(engine));
            }
            Err(why) => {
                let finding = Finding::failed(Step::Certificate, why)
                    .expected("the certificates of the authorities that vouch for this server")
                    .run("a database of a Countersign", "eval \"$(countersign env)\"")
                    .mend("any other: give them with --ca-bundle");
                self.add(finding);
                return (None, Some(engine));
            }
        };
        let others = self.other_bundles(region).await;
        let around = certificate::Around {
            host,
            region: region.as_ref().ok(),
            bundle: &bundle,
            others: &others,
            given: self.question.ca_bundle.is_some(),
            identifier: found.map(|found| found.identifier.as_str()),
        };
        let told = certificate::examine(address, engine, &around).await;
        let verified = told.status == Status::Ok;
        self.add(told);
        (verified.then_some(Reached { address, bundle }), Some(engine))
    }

    /// Whom to trust for the host; nobody where that takes the region, and it is not known.
    async fn bundle(&self, region: &Result<Region, RegionChoiceError>) -> Result<Option<Bundle>, String> {
        let Question { host, ca_bundle, .. } = self.question;
        let bundle = match (region, ca_bundle) {
            (_, Some(path)) => Bundle::read(path),
            (Ok(region), None) => {
                let chosen = trust::choose(host, region, None, self.truststore.as_deref()).await;
                return chosen.map(Some).map_err(|error| error.to_string());
            }
            (Err(_), None) if host.rds().is_some() => Bundle::amazon(),
            (Err(_), None) => return Ok(None),
        };
        bundle.map(Some).map_err(|error| error.to_string())
    }

    /// Who else may vouch, to be named where the chosen do not.
    async fn other_bundles(&self, region: &Result<Region, RegionChoiceError>) -> Vec<Bundle> {
        let mut others: Vec<Bundle> = Bundle::amazon().into_iter().collect();
        // The truststore is asked for hosts that are not Amazon's.
        if let (Ok(region), Some(url), Ok(host)) = (region, &self.truststore, "localhost".parse()) {
            others.extend(trust::choose(&host, region, None, Some(url)).await.ok());
        }
        others
    }

    async fn clock(&mut self, asked: &Asked) {
        let Some(api) = &asked.login else {
            let why = asked.silent.clone().unwrap_or_default();
            let why = format!("there is no server whose clock can be asked: {why}");
            return self.skip(&[Step::Clock], &why);
        };
        let clocks = match api.clocks() {
            Some(clocks) => Ok(Some(clocks)),
            // Nothing was asked yet, for want of credentials: any answer has a date.
            None => api.compare_clocks(Service::Sts).await,
        };
        match clocks {
            Ok(Some(clocks)) => self.add(source::explain_clock(&clocks)),
            Ok(None) => self.skip(&[Step::Clock], "the API's answers have no date"),
            Err(error) => self.skip(&[Step::Clock], &error.to_string()),
        }
    }

    async fn log_in(
        &mut self,
        reached: Option<&Reached>,
        engine: Option<Engine>,
        found: Option<&Found>,
        token: Option<&Zeroizing<String>>,
    ) {
        let Question { host, user, database, .. } = self.question;
        let (reached, engine, token) = match (reached, engine, token) {
            (Some(reached), Some(engine), Some(token)) => (reached, engine, token),
            (Some(_), _, None) => return self.skip(&[Step::Login], "there is no token (finding `token`)"),
            _ => return self.skip(&[Step::Login], "the server was not reached, or not verified"),
        };
        let tried = Tried {
            user,
            // PostgreSQL's choice, where none is named.
            database: database.as_deref().unwrap_or(user),
            found,
            amazon: host.rds().is_some(),
        };
        let way = login::Way {
            address: reached.address,
            engine,
            host,
            bundle: &reached.bundle,
            database: database.as_deref(),
        };
        let told = login::attempt(&way, &tried, token).await;
        self.add(told);
    }

    /// What the API said, and what the policies say.
    async fn tell_api(&mut self, asked: &Asked, port: u16) {
        let Question { host, user, .. } = self.question;
        let silent = || asked.silent.clone().unwrap_or_else(|| "the API was not asked".to_owned());
        match (&asked.found, asked.api()) {
            (Some(found), Some(api)) => {
                let told = database::explain(found.as_ref(), host, Some(port), api.region());
                self.findings.extend(told);
            }
            _ => self.skip(&[Step::Database, Step::IamAuthentication, Step::Authority], &silent()),
        }
        match &asked.caller {
            Some(caller) => self.add(policy::explain_caller(caller.as_ref())),
            None => self.skip(&[Step::Caller], &silent()),
        }
        let told = match (&asked.caller, asked.found(), asked.api()) {
            (Some(Ok(caller)), Some(found), Some(api)) => policy::examine(api, caller, found, user).await,
            (Some(Ok(_)), None, _) if asked.silent.is_none() => {
                Finding::skipped(Step::Policy, "the database's resource id is not known (finding `database`)")
            }
            (Some(Err(_)), ..) => {
                Finding::skipped(Step::Policy, "it is not known who the caller is (finding `caller`)")
            }
            _ => Finding::skipped(Step::Policy, silent()),
        };
        let told = self.outdone_by_the_login(told);
        self.add(told);
    }

    /// A simulation knows less than a login: where the login works, it was wrong.
    fn outdone_by_the_login(&self, mut told: Finding) -> Finding {
        let logged_in =
            self.findings.iter().any(|finding| finding.step == Step::Login && finding.status == Status::Ok);
        if logged_in && told.status == Status::Failed {
            told.status = Status::Warning;
            told.seen.push_str(
                "; yet the login works: a condition may depend on what the simulator does not know",
            );
        }
        told
    }

    /// What the database says to somebody who may look.
    async fn administrate(
        &mut self,
        reached: Option<&Reached>,
        engine: Option<Engine>,
        port: u16,
        signer: Option<(&Region, &aws_credential_types::Credentials)>,
    ) {
        let Question { host, user, database, .. } = self.question;
        let Some(admin) = &self.question.admin else {
            let why = "nobody is named who may look at accounts (--admin-user)";
            self.findings.extend(accounts::skipped(why));
            return;
        };
        let (Some(reached), Some(engine)) = (reached, engine) else {
            self.findings.extend(accounts::skipped("the server was not reached, or not verified"));
            return;
        };
        let variable = match engine {
            Engine::Postgres => "PGPASSWORD",
            Engine::MySql => "MYSQL_PWD",
        };
        let set = || (self.environment)(variable).filter(|set| !set.is_empty()).map(Zeroizing::new);
        let given = admin.password.clone().or_else(set);
        let by_token = given.is_none();
        let password = match (given, signer) {
            (Some(password), _) => Ok(password),
            (None, Some((region, credentials))) => {
                let endpoint = Endpoint { host: host.to_string(), port, region: region.clone() };
                endpoint.token(&admin.user, credentials, SystemTime::now()).map_err(|error| error.to_string())
            }
            (None, None) => Err("there is no password, and no token can be made".to_owned()),
        };
        let told = match &password {
            Ok(password) => {
                let asked = accounts::Asked {
                    host,
                    bundle: &reached.bundle,
                    admin: &admin.user,
                    password,
                    by_token,
                    user,
                    database: database.as_deref(),
                };
                match engine {
                    Engine::Postgres => accounts::postgres::examine(&asked, reached.address).await,
                    Engine::MySql => accounts::mysql::examine(&asked, port).await,
                }
            }
            Err(why) => accounts::refused(&admin.user, why),
        };
        self.findings.extend(told);
    }
}

fn silent(why: &str) -> Asked {
    Asked { login: None, other: None, found: None, caller: None, silent: Some(why.to_owned()) }
}

/// By the address; and by a name without a dot, which may be an identifier that somebody took for a host.
async fn find(api: &Api, host: &Host, port: Option<u16>) -> Result<Found, ApiError> {
    let by_address = api.find_by_address(host.as_str(), port.unwrap_or_default()).await;
    match by_address {
        Err(ApiError::NoDatabase(..)) if !host.as_str().contains(['.', ':']) && !host.is_loopback() => {
            api.find_database(host.as_str()).await
        }
        found => found,
    }
}
