//! The AWS APIs: RDS, IAM and STS over the Query protocol, and the trust store.
