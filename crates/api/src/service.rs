//! The three services behind the one URL, and what differs between them on the wire.

/// An AWS service that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon RDS.
    Rds,
    /// AWS Identity and Access Management.
    Iam,
    /// AWS Security Token Service.
    Sts,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rds, Self::Iam, Self::Sts];

    /// The name in a signature's scope and before the colon of an action.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The service with the name in a signature's scope.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The version of its API, as requests carry it.
    pub fn version(self) -> &'static str {
        match self {
            Self::Rds => "2014-10-31",
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    /// The service whose API has the version.
    pub fn of_version(version: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.version() == version)
    }

    /// The XML namespace of its answers.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Rds => "http://rds.amazonaws.com/doc/2014-10-31/",
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}
