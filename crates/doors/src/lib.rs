//! The ways a database server asks whether a login is allowed.
