//! The parameters that parameter groups may set: those that tune a server or its log, and `rds.force_ssl`.
//!
//! What would take access control, encryption, listening addresses, paths, libraries or commands out of Countersign's hands
//! is not among them, and what is not among them cannot be set.

use super::parameter_group::Family;
use crate::query::ApiError;
use store::records::ParameterGroupKind;

/// A parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// Whether it takes effect at a reload; else at the next start.
    pub(super) dynamic: bool,
    pub(super) description: &'static str,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// 0 or 1.
    Boolean,
    Integer(i64, i64),
    Real(f64, f64),
    OneOf(&'static [&'static str]),
    /// A name of letters, digits and `_ / + - ,` and space.
    Name,
}

use Takes::{Boolean, Integer, Name, OneOf, Real};

const fn dynamic(name: &'static str, takes: Takes, description: &'static str) -> Parameter {
    Parameter { name, takes, dynamic: true, description }
}

const fn at_start(name: &'static str, takes: Takes, description: &'static str) -> Parameter {
    Parameter { name, takes, dynamic: false, description }
}

/// The parameter that demands TLS of every connection, IAM or not. It belongs to the cluster where there is one.
pub(super) const FORCE_SSL: &str = "rds.force_ssl";

/// What [`FORCE_SSL`] is where no group says otherwise. RDS has 1 from PostgreSQL 15 on; here it is 1 for every version,
/// since a password in the clear is no default.
pub(super) const FORCE_SSL_DEFAULT: &str = "1";

const BIGINT: i64 = 2_147_483_647;
const LEVELS: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "info", "warning", "error", "fatal",
    "panic",
];

/// All of them, sorted by name.
#[rustfmt::skip]
pub(super) const ALL: &[Parameter] = &[
    dynamic("autovacuum", Boolean, "Starts the autovacuum subprocess."),
    dynamic("autovacuum_analyze_scale_factor", Real(0.0, 100.0), "Number of tuple changes before analyze, as a fraction of the table."),
    dynamic("autovacuum_analyze_threshold", Integer(0, BIGINT), "Minimum number of tuple changes before analyze."),
    dynamic("autovacuum_naptime", Integer(1, 2_147_483), "(s) Time to sleep between autovacuum runs."),
    dynamic("autovacuum_vacuum_cost_delay", Real(-1.0, 100.0), "(ms) Vacuum cost delay, for autovacuum."),
    dynamic("autovacuum_vacuum_cost_limit", Integer(-1, 10_000), "Vacuum cost before napping, for autovacuum."),
    dynamic("autovacuum_vacuum_scale_factor", Real(0.0, 100.0), "Number of tuple changes before vacuum, as a fraction of the table."),
    dynamic("autovacuum_vacuum_threshold", Integer(0, BIGINT), "Minimum number of tuple changes before vacuum."),
    dynamic("autovacuum_work_mem", Integer(-1, BIGINT), "(kB) Memory of each autovacuum worker."),
    dynamic("bgwriter_delay", Integer(10, 10_000), "(ms) Sleep between rounds of the background writer."),
    dynamic("bgwriter_lru_maxpages", Integer(0, 1_073_741_823), "Pages that the background writer flushes at most in a round."),
    dynamic("bgwriter_lru_multiplier", Real(0.0, 10.0), "Multiple of the recent buffer usage to free in a round."),
    dynamic("checkpoint_completion_target", Real(0.0, 1.0), "Time spent flushing in a checkpoint, as a fraction of the interval."),
    dynamic("checkpoint_timeout", Integer(30, 86_400), "(s) Longest time between automatic checkpoints."),
    dynamic("client_min_messages", OneOf(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]), "Message levels that are sent to the client."),
    dynamic("constraint_exclusion", OneOf(&["partition", "on", "off"]), "Use of constraints in planning."),
    dynamic("cpu_index_tuple_cost", Real(0.0, 1e10), "Estimate of the cost of processing an index entry."),
    dynamic("cpu_operator_cost", Real(0.0, 1e10), "Estimate of the cost of processing an operator."),
    dynamic("cpu_tuple_cost", Real(0.0, 1e10), "Estimate of the cost of processing a row."),
    dynamic("cursor_tuple_fraction", Real(0.0, 1.0), "Estimate of the fraction of a cursor's rows that is fetched."),
    dynamic("datestyle", Name, "Display format of dates and times."),
    dynamic("deadlock_timeout", Integer(1, BIGINT), "(ms) Time to wait on a lock before checking for a deadlock."),
    dynamic("default_statistics_target", Integer(1, 10_000), "Default statistics target."),
    dynamic("default_transaction_deferrable", Boolean, "Default deferrable status of new transactions."),
    dynamic("default_transaction_isolation", OneOf(&["serializable", "repeatable read", "read committed", "read uncommitted"]), "Isolation level of new transactions."),
    dynamic("default_transaction_read_only", Boolean, "Default read-only status of new transactions."),
    dynamic("effective_cache_size", Integer(1, BIGINT), "(8kB) Assumption about the size of the disk cache."),
    dynamic("effective_io_concurrency", Integer(0, 1_000), "Simultaneous requests that the disk handles well."),
    dynamic("enable_bitmapscan", Boolean, "Planner's use of bitmap scans."),
    dynamic("enable_hashagg", Boolean, "Planner's use of hashed aggregation."),
    dynamic("enable_hashjoin", Boolean, "Planner's use of hash joins."),
    dynamic("enable_indexonlyscan", Boolean, "Planner's use of index-only scans."),
    dynamic("enable_indexscan", Boolean, "Planner's use of index scans."),
    dynamic("enable_material", Boolean, "Planner's use of materialization."),
    dynamic("enable_mergejoin", Boolean, "Planner's use of merge joins."),
    dynamic("enable_nestloop", Boolean, "Planner's use of nested loops."),
    dynamic("enable_partition_pruning", Boolean, "Pruning of partitions in planning and in execution."),
    dynamic("enable_seqscan", Boolean, "Planner's use of sequential scans."),
    dynamic("enable_sort", Boolean, "Planner's use of explicit sorts."),
    dynamic("from_collapse_limit", Integer(1, BIGINT), "FROM list size beyond which subqueries are not collapsed."),
    dynamic("geqo", Boolean, "Genetic query optimization."),
    dynamic("geqo_threshold", Integer(2, BIGINT), "FROM items beyond which genetic optimization is used."),
    dynamic("hash_mem_multiplier", Real(1.0, 1_000.0), "Multiple of work_mem for hash tables."),
    dynamic("idle_in_transaction_session_timeout", Integer(0, BIGINT), "(ms) Longest idle time in a transaction; 0 is none."),
    dynamic("idle_session_timeout", Integer(0, BIGINT), "(ms) Longest idle time outside a transaction; 0 is none."),
    dynamic("intervalstyle", OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), "Display format of intervals."),
    dynamic("jit", Boolean, "Just-in-time compilation."),
    dynamic("join_collapse_limit", Integer(1, BIGINT), "FROM list size beyond which JOINs are not flattened."),
    dynamic("lock_timeout", Integer(0, BIGINT), "(ms) Longest wait for a lock; 0 is none."),
    dynamic("log_autovacuum_min_duration", Integer(-1, BIGINT), "(ms) Time beyond which autovacuum actions are logged; -1 is never."),
    dynamic("log_checkpoints", Boolean, "Logs each checkpoint."),
    dynamic("log_connections", Boolean, "Logs each successful connection."),
    dynamic("log_disconnections", Boolean, "Logs the end of a session, with its duration."),
    dynamic("log_duration", Boolean, "Logs the duration of each completed statement."),
    dynamic("log_error_verbosity", OneOf(&["terse", "default", "verbose"]), "Detail of logged messages."),
    dynamic("log_hostname", Boolean, "Logs the host name of clients."),
    dynamic("log_lock_waits", Boolean, "Logs long waits for locks."),
    dynamic("log_min_duration_statement", Integer(-1, BIGINT), "(ms) Time beyond which statements are logged; -1 is never."),
    dynamic("log_min_error_statement", OneOf(LEVELS), "Level from which the statement that failed is logged."),
    dynamic("log_min_messages", OneOf(LEVELS), "Message levels that are logged."),
    dynamic("log_parameter_max_length", Integer(-1, 1_073_741_823), "(B) Longest parameter value in a logged statement; -1 is whole."),
    dynamic("log_replication_commands", Boolean, "Logs each replication command."),
    dynamic("log_statement", OneOf(&["none", "ddl", "mod", "all"]), "Kinds of statements that are logged."),
    dynamic("log_temp_files", Integer(-1, BIGINT), "(kB) Size beyond which temporary files are logged; -1 is never."),
    dynamic("logical_decoding_work_mem", Integer(64, BIGINT), "(kB) Memory for logical decoding."),
    dynamic("maintenance_work_mem", Integer(1_024, BIGINT), "(kB) Memory of a maintenance operation."),
    at_start("max_connections", Integer(6, 8_388_607), "Concurrent connections."),
    at_start("max_locks_per_transaction", Integer(10, 8_388_607), "Locks per transaction."),
    dynamic("max_parallel_maintenance_workers", Integer(0, 1_024), "Parallel workers of a maintenance operation."),
    dynamic("max_parallel_workers", Integer(0, 1_024), "Parallel workers at one time."),
    dynamic("max_parallel_workers_per_gather", Integer(0, 1_024), "Parallel workers of an executor node."),
    at_start("max_pred_locks_per_transaction", Integer(10, 8_388_607), "Predicate locks per transaction."),
    at_start("max_prepared_transactions", Integer(0, 8_388_607), "Simultaneously prepared transactions."),
    dynamic("max_standby_streaming_delay", Integer(-1, BIGINT), "(ms) Longest delay before conflicting queries on a standby are cancelled."),
    dynamic("max_wal_size", Integer(128, 2_147_483), "(MB) WAL size that triggers a checkpoint."),
    at_start("max_worker_processes", Integer(1, 8_192), "Concurrent worker processes."),
    dynamic("min_wal_size", Integer(128, 2_147_483), "(MB) Size that the WAL is not shrunk below."),
    dynamic("plan_cache_mode", OneOf(&["auto", "force_generic_plan", "force_custom_plan"]), "Choice of custom or generic plans."),
    dynamic("random_page_cost", Real(0.0, 1e10), "Estimate of the cost of fetching a page out of order."),
    dynamic(FORCE_SSL, Boolean, "Forces SSL connections."),
    dynamic("seq_page_cost", Real(0.0, 1e10), "Estimate of the cost of fetching a page in order."),
    at_start("shared_buffers", Integer(16, 1_073_741_823), "(8kB) Shared memory buffers."),
    dynamic("statement_timeout", Integer(0, BIGINT), "(ms) Longest duration of a statement; 0 is none."),
    dynamic("synchronize_seqscans", Boolean, "Synchronized sequential scans."),
    dynamic("synchronous_commit", OneOf(&["local", "on", "off"]), "Whether a commit waits for the WAL to reach the disk."),
    dynamic("tcp_keepalives_count", Integer(0, BIGINT), "TCP keepalive retransmits."),
    dynamic("tcp_keepalives_idle", Integer(0, BIGINT), "(s) Time between TCP keepalives."),
    dynamic("tcp_keepalives_interval", Integer(0, BIGINT), "(s) Time between TCP keepalive retransmits."),
    dynamic("temp_buffers", Integer(100, 1_073_741_823), "(8kB) Temporary buffers of each session."),
    dynamic("temp_file_limit", Integer(-1, BIGINT), "(kB) Disk space of a session's temporary files; -1 is any."),
    dynamic("timezone", Name, "Time zone of shown and read times."),
    dynamic("track_activities", Boolean, "Collects what sessions execute."),
    at_start("track_activity_query_size", Integer(100, 1_048_576), "(B) Size of the shown query."),
    dynamic("track_counts", Boolean, "Collects statistics on database activity."),
    dynamic("track_functions", OneOf(&["none", "pl", "all"]), "Collects statistics on function calls."),
    dynamic("track_io_timing", Boolean, "Collects timing statistics on I/O."),
    dynamic("vacuum_cost_delay", Real(0.0, 100.0), "(ms) Vacuum cost delay."),
    dynamic("vacuum_cost_limit", Integer(1, 10_000), "Vacuum cost before napping."),
    dynamic("wal_compression", Boolean, "Compresses full pages in the WAL."),
    dynamic("wal_writer_delay", Integer(1, 10_000), "(ms) Time between WAL flushes of the WAL writer."),
    dynamic("work_mem", Integer(64, BIGINT), "(kB) Memory of a query's sorts and hash tables."),
];

/// The parameters of a kind of group of a family: where there is a cluster, TLS is the cluster's.
pub(super) fn of(kind: ParameterGroupKind, family: &Family) -> impl Iterator<Item = &'static Parameter> {
    let elsewhere = kind == ParameterGroupKind::Instance && family.is_of_clusters();
    ALL.iter().filter(move |parameter| !(elsewhere && parameter.name == FORCE_SSL))
}

impl Parameter {
    /// The value where no group sets one; none where it is the server's own.
    pub(super) fn default(&self) -> Option<&'static str> {
        (self.name == FORCE_SSL).then_some(FORCE_SSL_DEFAULT)
    }

    /// Refuses a value that the parameter does not take.
    pub(super) fn check(&self, value: &str) -> Result<(), ApiError> {
        let fits = match self.takes {
            Boolean => matches!(value, "0" | "1"),
            Integer(least, most) => value.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number)),
            Real(least, most) => {
                let plain = value.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                plain && value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number))
            }
            OneOf(words) => words.contains(&value),
            Name => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"_/+-, ".contains(&b);
                (1..=64).contains(&value.len()) && value.bytes().all(plain)
            }
        };
        if fits {
            return Ok(());
        }
        let value: String = value.chars().take(64).collect();
        let message = format!(
            "Invalid parameter value: {value} for: {} allowed values are: {}",
            self.name,
            self.takes.allowed()
        );
        Err(ApiError::invalid_parameter_value(message))
    }
}

impl Takes {
    /// The type's name.
    pub(super) fn data_type(self) -> &'static str {
        match self {
            Boolean => "boolean",
            Integer(..) => "integer",
            Real(..) => "float",
            OneOf(_) | Name => "string",
        }
    }

    /// The values, as RDS spells ranges and lists.
    pub(super) fn allowed(self) -> String {
        match self {
            Boolean => "0,1".to_owned(),
            Integer(least, most) => format!("{least}-{most}"),
            Real(least, most) => format!("{least}-{most}"),
            OneOf(words) => words.join(","),
            Name => "letters, digits and _/+-, and space".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &'static Parameter {
        ALL.iter().find(|parameter| parameter.name == name).unwrap()
    }

    #[test]
    fn names_are_sorted_and_none_reaches_beyond_tuning() {
        assert!(ALL.is_sorted_by_key(|parameter| parameter.name));
        let barred = [
            "hba",
            "ident",
            "ssl_",
            "listen",
            "port",
            "socket",
            "directory",
            "library",
            "libraries",
            "file_path",
            "password",
            "krb",
            "archive",
            "restore",
            "primary_",
            "external_pid",
            "search_path",
            "role",
            "row_security",
        ];
        for parameter in ALL {
            assert!(!barred.iter().any(|part| parameter.name.contains(part)), "{}", parameter.name);
            assert!(parameter.name != "ssl" && !parameter.name.ends_with("_command"), "{}", parameter.name);
        }
    }

    #[test]
    fn values_are_held_to_type_and_range() {
        for (name, good, bad) in [
            ("rds.force_ssl", "0", "off"),
            ("max_connections", "100", "5"),
            ("max_connections", "8388607", "{DBInstanceClassMemory/9531392}"),
            ("random_page_cost", "1.1", "1.1'"),
            ("random_page_cost", "1e3", "inf"),
            ("log_statement", "ddl", "DDL; x"),
            ("timezone", "Europe/Berlin", "x'\nssl = off"),
        ] {
            assert!(named(name).check(good).is_ok(), "{name}={good}");
            assert!(named(name).check(bad).is_err(), "{name}={bad}");
        }
        let error = named("max_connections").check("1").unwrap_err();
        assert_eq!(
            error.message,
            "Invalid parameter value: 1 for: max_connections allowed values are: 6-8388607"
        );
    }
}
