//! Logins by mysql_async, a driver in this process: many at once, and with passwords that no command line carries.

use crate::Login;
use mysql_async::{Conn, OptsBuilder, SslOpts};

impl Login {
    /// How the driver logs in, over verified TLS.
    pub fn options(&self) -> OptsBuilder {
        let tls = SslOpts::default()
            .with_root_certs(vec![self.ca.clone().into()])
            .with_disable_built_in_roots(true);
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .ssl_opts(tls)
            .enable_cleartext_plugin(true)
            .prefer_socket(false)
            // Known beforehand, so that no statement asks for them.
            .max_allowed_packet(Some(16 << 20))
            .wait_timeout(Some(28_800))
    }

    /// One login, and its orderly end; else the number and the text of the server's error, or the driver's own.
    ///
    /// # Errors
    /// It was refused, or did not come to be.
    pub fn by_driver(&self) -> Result<(), String> {
        try_once(self.options())
    }

    /// A client that hangs up when it is asked for its password in the clear.
    ///
    /// # Errors
    /// As [`by_driver`](Self::by_driver) has them; the driver's own if it was asked.
    pub fn without_cleartext(&self) -> Result<(), String> {
        try_once(self.options().enable_cleartext_plugin(false))
    }
}

fn try_once(options: OptsBuilder) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tried = runtime.block_on(async { Conn::new(options).await?.disconnect().await });
    tried.map_err(|error| match error {
        mysql_async::Error::Server(error) => format!("{} {}", error.code, error.message),
        other => other.to_string(),
    })
}
