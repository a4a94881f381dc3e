//! The doors that PostgreSQL can ask through on this machine.

use std::path::Path;
use std::sync::Once;

/// How PostgreSQL asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Through `pam_countersign.so`.
    Pam,
    /// Through its LDAP method.
    Ldap,
}

impl Door {
    /// The word for it on the command line and in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Ldap => "ldap",
        }
    }

    /// What a client is told when the door refuses a user.
    pub fn refusal(self, user: &str) -> String {
        let method = match self {
            Self::Pam => "PAM",
            Self::Ldap => "LDAP",
        };
        format!("FATAL:  {method} authentication failed for user \"{user}\"")
    }

    /// PAM where it is installed, else LDAP; says which.
    pub fn usual() -> Self {
        static SAID: Once = Once::new();
        let door = if pam_is_installed() { Self::Pam } else { Self::Ldap };
        SAID.call_once(|| println!("PostgreSQL asks through the {} door", door.as_str()));
        door
    }

    /// The PAM door. None, said aloud, for users who cannot install the module; root must have installed it.
    pub fn pam() -> Option<Self> {
        if pam_is_installed() {
            return Some(Self::Pam);
        }
        assert!(
            !rustix::process::geteuid().is_root(),
            "the PAM module is not installed: cargo build -p pam_countersign && scripts/install.sh pam target/debug"
        );
        println!("NOT TESTED: the PAM door; its module is not installed, and only root can install it");
        None
    }
}

fn pam_is_installed() -> bool {
    const MODULE: &str = "pam_countersign.so";
    let arch = std::env::consts::ARCH;
    let folders = [
        format!("/lib/{arch}-linux-gnu/security"),
        format!("/usr/lib/{arch}-linux-gnu/security"),
        "/lib64/security".to_owned(),
        "/usr/lib64/security".to_owned(),
        "/lib/security".to_owned(),
    ];
    let service = std::fs::read_to_string("/etc/pam.d/countersign").unwrap_or_default();
    service.contains(MODULE) && folders.iter().any(|folder| Path::new(folder).join(MODULE).exists())
}
