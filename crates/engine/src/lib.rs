//! Database servers: found, initialised, started, configured, stopped.
