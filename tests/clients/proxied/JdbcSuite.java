// JDBC, PostgreSQL's driver and MariaDB's: prepared statements, batches, transactions, cursors, large values, timeouts that
// cancel, errors; see suite.py.
//
//     java -cp DRIVER.jar JdbcSuite.java URL USER

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class JdbcSuite {
    private static final int LARGE = 3_000_000;
    private static int checks = 0;

    public static void main(String[] arguments) throws SQLException {
        String url = arguments[0], user = arguments[1];
        boolean postgres = url.startsWith("jdbc:postgresql:");
        try (Connection connection = DriverManager.getConnection(url, user, null)) {
            equal("user", one(connection, "select current_user").split("@")[0], user);
            try (PreparedStatement plus = connection.prepareStatement("select ? + 1")) {
                for (int number = 0; number < 20; number++) {
                    plus.setInt(1, number);
                    try (ResultSet rows = plus.executeQuery()) {
                        rows.next();
                        equal("prepared", rows.getInt(1), number + 1);
                    }
                }
            }
            try (PreparedStatement echo = connection.prepareStatement(postgres ? "select ?::text" : "select ?")) {
                String large = "z".repeat(LARGE);
                echo.setString(1, large);
                try (ResultSet rows = echo.executeQuery()) {
                    rows.next();
                    equal("large", rows.getString(1).equals(large), true);
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.execute("create temporary table numbers (n int)");
            }
            try (PreparedStatement insert = connection.prepareStatement("insert into numbers values (?)")) {
                for (int number = 0; number < 5_000; number++) {
                    insert.setInt(1, number);
                    insert.addBatch();
                }
                equal("batch", insert.executeBatch().length, 5_000);
            }
            connection.commit();
            try (Statement statement = connection.createStatement()) {
                statement.execute("delete from numbers");
                connection.rollback();
                statement.setFetchSize(100);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("select n from numbers")) {
                    while (rows.next()) sum += rows.getInt(1);
                }
                equal("rolled back, by a cursor", sum, 5_000L * 4_999 / 2);
            }
            connection.commit();
            connection.setAutoCommit(true);
            fails("error", "absent", () -> one(connection, "select * from absent"));
            equal("after the error", one(connection, "select 1"), "1");
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                String sleep = postgres ? "select pg_sleep(30)" : "select sleep(30)";
                fails("timeout", postgres ? "cancel" : "interrupted|exceeded|timed out", () -> statement.executeQuery(sleep));
            }
            equal("after the timeout", one(connection, "select 1"), "1");
        }
        System.out.println(checks + " checks");
    }

    private interface Call {
        Object run() throws SQLException;
    }

    private static String one(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static void equal(String what, Object seen, Object expected) {
        checks++;
        if (!expected.equals(seen)) fail(what + ": expected " + expected + ", saw " + seen);
    }

    private static void fails(String what, String pattern, Call call) {
        checks++;
        try {
            call.run();
        } catch (SQLException error) {
            if (!error.getMessage().matches("(?s).*(" + pattern + ").*")) {
                fail(what + ": expected an error with " + pattern + ", saw " + error.getMessage());
            }
            return;
        }
        fail(what + ": expected an error with " + pattern);
    }

    private static void fail(String text) {
        System.err.println(text);
        System.exit(1);
    }
}
