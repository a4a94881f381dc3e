//! Names that are taken: reserved words of each product, and the users and databases that a server has from the start.

use iam::Product;

/// Whether a master user cannot have the name.
pub(super) fn is_user(product: Product, name: &str) -> bool {
    is_taken(product, name, users(product))
}

/// Whether a database that is made at first cannot have the name.
pub(super) fn is_database(product: Product, name: &str) -> bool {
    is_taken(product, name, databases(product))
}

fn is_taken(product: Product, name: &str, own: &[&str]) -> bool {
    let folded = name.to_ascii_lowercase();
    let starts: &[&str] = match product {
        Product::PostgreSql => &["rds_", "pg_"],
        Product::MySql | Product::MariaDb => &["rds_"],
    };
    starts.iter().any(|start| folded.starts_with(start))
        || own.contains(&folded.as_str())
        || words(product).iter().any(|words| words.binary_search(&folded.as_str()).is_ok())
}

/// The users and roles that are there already, and those that RDS has for itself.
fn users(product: Product) -> &'static [&'static str] {
    match product {
        Product::PostgreSql => &["admin", "public", "rdsadmin", "template0", "template1"],
        Product::MySql => &["rdsadmin", "rdsrepladmin"],
        Product::MariaDb => &["current_role", "mysql", "none", "public", "rdsadmin", "rdsrepladmin"],
    }
}

/// The databases that are there already.
fn databases(product: Product) -> &'static [&'static str] {
    match product {
        Product::PostgreSql => &["public", "rdsadmin", "template0", "template1"],
        Product::MySql | Product::MariaDb => {
            &["information_schema", "mysql", "performance_schema", "rdsadmin", "sys"]
        }
    }
}

/// The reserved words, each list sorted so that it can be searched.
fn words(product: Product) -> [&'static [&'static str]; 2] {
    match product {
        Product::PostgreSql => [POSTGRESQL, &[]],
        Product::MySql => [MYSQL_AND_MARIADB, MYSQL],
        Product::MariaDb => [MYSQL_AND_MARIADB, MARIADB],
    }
}

#[rustfmt::skip]
const POSTGRESQL: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary",
    "both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create",
    "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end",
    "except", "false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike",
    "in", "initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left",
    "like", "limit", "localtime", "localtimestamp", "natural", "none", "not", "notnull", "null", "offset", "on",
    "only", "or", "order", "outer", "overlaps", "placing", "primary", "references", "returning", "right",
    "select", "session_user", "similar", "some", "symmetric", "system_user", "table", "tablesample", "then",
    "to", "trailing", "true", "union", "unique", "user", "using", "variadic", "verbose", "when", "where",
    "window", "with",
];

/// As MySQL 9.7 and MariaDB 10.11 have them.
#[rustfmt::skip]
const MYSQL_AND_MARIADB: &[&str] = &[
    "accessible", "add", "all", "alter", "analyze", "and", "as", "asc", "asensitive", "before", "between",
    "bigint", "binary", "blob", "both", "by", "call", "cascade", "case", "change", "char", "character", "check",
    "collate", "column", "condition", "constraint", "continue", "convert", "create", "cross", "current_date",
    "current_time", "current_timestamp", "current_user", "cursor", "databases", "day_hour", "day_microsecond",
    "day_minute", "day_second", "dec", "decimal", "declare", "default", "delayed", "delete", "desc", "describe",
    "deterministic", "distinct", "distinctrow", "div", "double", "drop", "dual", "each", "else", "elseif",
    "enclosed", "escaped", "except", "exists", "exit", "explain", "false", "fetch", "float", "float4", "float8",
    "for", "force", "foreign", "from", "fulltext", "grant", "group", "having", "high_priority",
    "hour_microsecond", "hour_minute", "hour_second", "if", "ignore", "in", "index", "infile", "inner", "inout",
    "insensitive", "insert", "int", "int1", "int2", "int3", "int4", "int8", "integer", "intersect", "interval",
    "into", "is", "iterate", "join", "key", "keys", "kill", "leading", "leave", "left", "like", "limit",
    "linear", "lines", "load", "localtime", "localtimestamp", "lock", "long", "longblob", "longtext", "loop",
    "low_priority", "match", "maxvalue", "mediumblob", "mediumint", "mediumtext", "middleint",
    "minute_microsecond", "minute_second", "mod", "modifies", "natural", "no_write_to_binlog", "not", "null",
    "numeric", "on", "optimize", "optionally", "or", "order", "out", "outer", "outfile", "over", "partition",
    "precision", "primary", "procedure", "purge", "range", "read", "read_write", "reads", "real", "recursive",
    "references", "regexp", "release", "rename", "repeat", "replace", "require", "resignal", "restrict",
    "return", "revoke", "right", "rlike", "row_number", "rows", "schemas", "second_microsecond", "select",
    "sensitive", "separator", "set", "show", "signal", "smallint", "spatial", "specific", "sql",
    "sql_big_result", "sql_calc_found_rows", "sql_small_result", "sqlexception", "sqlstate", "sqlwarning",
    "ssl", "starting", "straight_join", "table", "terminated", "then", "tinyblob", "tinyint", "tinytext", "to",
    "trailing", "trigger", "true", "undo", "union", "unique", "unlock", "unsigned", "update", "usage", "use",
    "using", "utc_date", "utc_time", "utc_timestamp", "values", "varbinary", "varchar", "varcharacter",
    "varying", "when", "where", "while", "with", "write", "xor", "year_month", "zerofill",
];

/// MySQL's besides.
#[rustfmt::skip]
const MYSQL: &[&str] = &[
    "cube", "cume_dist", "database", "dense_rank", "empty", "external", "first_value", "function", "generated",
    "get", "grouping", "groups", "io_after_gtids", "io_before_gtids", "json_table", "lag", "last_value",
    "lateral", "lead", "library", "nth_value", "ntile", "of", "optimizer_costs", "option", "percent_rank",
    "qualify", "rank", "row", "schema", "stored", "system", "tablesample", "virtual", "window",
];

/// MariaDB's besides.
#[rustfmt::skip]
const MARIADB: &[&str] = &[
    "delete_domain_id", "do_domain_ids", "ignore_domain_ids", "master_demote_to_replica",
    "master_demote_to_slave", "master_ssl_verify_server_cert", "offset", "page_checksum", "parse_vcol_expr",
    "portion", "ref_system_id", "returning", "stats_auto_recalc", "stats_persistent", "stats_sample_pages",
];

#[cfg(test)]
mod tests {
    use super::*;
    use Product::{MariaDb, MySql, PostgreSql};

    #[test]
    fn each_product_has_words_of_its_own() {
        for list in [POSTGRESQL, MYSQL_AND_MARIADB, MYSQL, MARIADB] {
            assert!(list.is_sorted(), "so that it can be searched");
        }
        for (name, products) in [
            ("select", &[PostgreSql, MySql, MariaDb][..]),
            ("Table", &[PostgreSql, MySql, MariaDb]),
            ("user", &[PostgreSql]),
            ("pg_monitor", &[PostgreSql]),
            ("rds_iam", &[PostgreSql, MySql, MariaDb]),
            ("rdsadmin", &[PostgreSql, MySql, MariaDb]),
            ("database", &[MySql]),
            ("databases", &[MySql, MariaDb]),
            ("returning", &[PostgreSql, MariaDb]),
            ("orders", &[]),
        ] {
            for product in [PostgreSql, MySql, MariaDb] {
                let expected = products.contains(&product);
                assert_eq!(is_user(product, name), expected, "user {name} of {product}");
                assert_eq!(is_database(product, name), expected, "database {name} of {product}");
            }
        }
        assert!(is_user(PostgreSql, "admin") && !is_user(MySql, "admin") && !is_user(MariaDb, "Admin"));
        assert!(!is_user(MySql, "root") && !is_user(MariaDb, "root"));
        assert!(
            is_database(MySql, "mysql") && is_database(MariaDb, "sys") && !is_database(PostgreSql, "mysql")
        );
        assert!(is_user(MariaDb, "public") && !is_database(MariaDb, "public"));
    }
}
