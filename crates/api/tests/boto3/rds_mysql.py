"""The engines of MySQL and MariaDB: what is theirs, and what is refused."""

from common import ACCOUNT, client, conforming, refused, settle

REGION = "eu-central-1"
ARN = f"arn:aws:rds:{REGION}:{ACCOUNT}"
PASSWORD = "Master-pass-1"
rds = conforming(client("rds"))


def new_instance(name, engine="mysql", **more):
    given = dict(
        DBInstanceIdentifier=name, Engine=engine, DBInstanceClass="db.t3.micro", AllocatedStorage=20,
        MasterUsername="admin", MasterUserPassword=PASSWORD,
    )
    return {key: value for key, value in {**given, **more}.items() if value is not None}


def new_cluster(name, **more):
    given = dict(DBClusterIdentifier=name, Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword=PASSWORD)
    return {**given, **more}


def instance(name):
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def engine_versions():
    def versions(**asked):
        return [(v["EngineVersion"], v["DBParameterGroupFamily"]) for v in rds.describe_db_engine_versions(**asked)["DBEngineVersions"]]

    assert versions(Engine="mysql") == [("8.4.7", "mysql8.4"), ("9.7.4", "mysql9.7")]
    assert versions(Engine="mariadb") == [("10.6.21", "mariadb10.6"), ("10.11.19", "mariadb10.11")], "sorted as numbers"
    assert versions(Engine="aurora-mysql", EngineVersion="8.4") == [("8.4.mysql_aurora.8.4.7", "aurora-mysql8.4")]
    assert versions(Engine="mariadb", DefaultOnly=True) == [("10.11.19", "mariadb10.11")]
    assert versions(DBParameterGroupFamily="mysql9.7") == [("9.7.4", "mysql9.7")]
    assert versions(Engine="mysql", EngineVersion="8") == [] and versions(Engine="mysql", EngineVersion="9.7.4") != []
    for engine, major, description, version, logs in (
        ("mysql", "9.7", "MySQL Community Edition", "MySQL 9.7.4", ["audit", "error", "general", "slowquery", "iam-db-auth-error"]),
        ("mariadb", "10.11", "MariaDB Community Edition", "MariaDB 10.11.19", ["audit", "error", "general", "slowquery", "iam-db-auth-error"]),
        ("aurora-mysql", "9.7", "Aurora MySQL", "Aurora MySQL 9.7.4 (compatible with MySQL 9.7)", ["audit", "error", "general", "instance", "slowquery", "iam-db-auth-error"]),
    ):
        (one,) = rds.describe_db_engine_versions(Engine=engine, DefaultOnly=True)["DBEngineVersions"]
        assert (one["MajorEngineVersion"], one["DBEngineDescription"], one["DBEngineVersionDescription"]) == (major, description, version), one
        assert one["ExportableLogTypes"] == logs
        options = rds.describe_orderable_db_instance_options(Engine=engine, DBInstanceClass="db.t3.micro")["OrderableDBInstanceOptions"]
        assert options[0]["EngineVersion"] == one["EngineVersion"] and len(options) == 2
        assert options[0]["LicenseModel"] == "general-public-license" and options[0]["SupportsIAMDatabaseAuthentication"]
        assert options[0]["StorageType"] == ("aurora" if engine == "aurora-mysql" else "gp3")
        offered = lambda license: rds.describe_orderable_db_instance_options(Engine=engine, LicenseModel=license)["OrderableDBInstanceOptions"]
        assert offered("general-public-license") and not offered("postgresql-license")


def instances():
    made = rds.create_db_instance(**new_instance("mymysql", EnableIAMDatabaseAuthentication=True))["DBInstance"]
    assert made["DBInstanceStatus"] == "creating" and made["EngineVersion"] == "9.7.4" and PASSWORD not in str(made)
    rds.create_db_instance(**new_instance(
        "mymariadb", "MariaDB", EngineVersion="10.6", DBName="orders", MasterUsername="root", EnableCloudwatchLogsExports=["audit", "error"],
        LicenseModel="general-public-license",
    ))
    settle()
    mysql, mariadb = instance("mymysql"), instance("mymariadb")
    assert mysql["Engine"] == "mysql" and mysql["MasterUsername"] == "admin" and "DBName" not in mysql
    assert mysql["IAMDatabaseAuthenticationEnabled"] and not mariadb["IAMDatabaseAuthenticationEnabled"]
    assert mysql["Endpoint"]["Port"] >= 3306 and mysql["Endpoint"]["Port"] != mariadb["Endpoint"]["Port"]
    assert mysql["DBInstanceArn"] == f"{ARN}:db:mymysql" and mysql["DbiResourceId"].startswith("db-")
    assert mysql["LicenseModel"] == mariadb["LicenseModel"] == "general-public-license"
    assert mysql["EngineLifecycleSupport"] == "open-source-rds-extended-support"
    assert mariadb["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled"
    assert mariadb["Engine"] == "mariadb" and mariadb["EngineVersion"] == "10.6.21" and mariadb["DBName"] == "orders"
    assert mariadb["EnabledCloudwatchLogsExports"] == ["audit", "error"] and mariadb["MasterUsername"] == "root"
    groups = lambda db: (db["DBParameterGroups"][0]["DBParameterGroupName"], db["OptionGroupMemberships"][0]["OptionGroupName"])
    assert groups(mysql) == ("default.mysql9.7", "default:mysql-9-7")
    assert groups(mariadb) == ("default.mariadb10.6", "default:mariadb-10-6")

    for engine in ("mysql", "mariadb"):
        for says, more in {
            "reserved word used by the engine": dict(MasterUsername="select"),
            "MasterUsername rdsadmin cannot be used": dict(MasterUsername="rdsadmin"),
            "MasterUsername is not valid": dict(MasterUsername="mysql.sys"),
            "shorter than 8 or longer than 41": dict(MasterUserPassword="a" * 42),
            "Only printable ASCII": dict(MasterUserPassword="with space"),
            "DBName must begin with a letter": dict(DBName="_orders"),
            "Database name mysql cannot be used": dict(DBName="mysql"),
            "Database name Sys cannot be used": dict(DBName="Sys"),
            "Database name information_schema cannot be used": dict(DBName="information_schema"),
            "Port": dict(Port=1149),
            "Invalid storage size": dict(AllocatedStorage=5),
        }.items():
            refused("InvalidParameterValue", rds.create_db_instance, **new_instance("other", engine, **more), says=says)
        for says, more in {
            f"Invalid license model 'postgresql-license' for engine '{engine}'. Valid license models are: general-public-license.": dict(LicenseModel="postgresql-license"),
            f"Cannot find version 5.7 for {engine}; installed on this machine: ": dict(EngineVersion="5.7"),
            "expected audit, error, general, slowquery, iam-db-auth-error": dict(EnableCloudwatchLogsExports=["postgresql"]),
            "with DBParameterGroupFamily postgres17 can't be used": dict(DBParameterGroupName="default.postgres17"),
            "Invalid storage type": dict(StorageType="aurora"),
        }.items():
            refused("InvalidParameterCombination", rds.create_db_instance, **new_instance("other", engine, **more), says=says)
        refused("OptionGroupNotFoundFault", rds.create_db_instance, **new_instance("other", engine, OptionGroupName="default:mysql-5-7"))
        refused("UnsupportedParameter", rds.create_db_instance, **new_instance("other", engine, MasterUserAuthenticationType="iam-db-auth"), says="AWSAuthenticationPlugin")
        refused("UnsupportedParameter", rds.create_db_instance, **new_instance("other", engine, BackupRetentionPeriod=7), says={"mysql": "mysqldump", "mariadb": "mariadb-dump"}[engine])
        refused("UnsupportedParameter", rds.create_db_instance, **new_instance("other", engine, CharacterSetName="utf8mb4"), says="character_set_server")
    served = "expected `postgres`, `aurora-postgresql`, `mysql`, `aurora-mysql`, `mariadb`"
    refused("InvalidParameterValue", rds.create_db_instance, **new_instance("other", "oracle-ee"), says=served)
    refused("InvalidParameterCombination", rds.create_db_instance, **new_instance("other", EngineVersion="8.0.36"), says="9.7.4, 8.4.7")
    refused("InvalidParameterCombination", rds.create_db_instance, **new_instance("other", "postgres", MasterUsername="master", LicenseModel="general-public-license"), says="Invalid license model")
    refused("InvalidParameterValue", rds.create_db_instance, **new_instance("other", "postgres"), says="MasterUsername admin cannot be used")
    refused("InvalidParameterCombination", rds.create_db_instance, **new_instance("other", "aurora-mysql"), says="DBClusterIdentifier")
    rds.create_db_instance(**new_instance("exact", EngineVersion="8.4.7", OptionGroupName="default:mysql-8-4", DBName="postgres", MasterUserPassword="a" * 41))
    settle()
    assert instance("exact")["EngineVersion"] == "8.4.7"
    found = rds.describe_db_instances(Filters=[{"Name": "engine", "Values": ["mysql"]}])["DBInstances"]
    assert [db["DBInstanceIdentifier"] for db in found] == ["exact", "mymysql"]


def modifying():
    modify = lambda name="mymysql", **more: rds.modify_db_instance(DBInstanceIdentifier=name, **more)["DBInstance"]
    waiting = modify(EnableIAMDatabaseAuthentication=False)
    assert waiting["DBInstanceStatus"] == "available" and waiting["PendingModifiedValues"] == {"IAMDatabaseAuthenticationEnabled": False}
    off = modify(ApplyImmediately=True)
    assert off["DBInstanceStatus"] == "configuring-iam-database-authentication" and not off["IAMDatabaseAuthenticationEnabled"]
    settle()
    on = modify("mymariadb", EnableIAMDatabaseAuthentication=True, ApplyImmediately=True)
    assert on["DBInstanceStatus"] == "configuring-iam-database-authentication" and on["IAMDatabaseAuthenticationEnabled"]
    settle()
    refused("InvalidParameterValue", modify, MasterUserPassword="a" * 42, says="longer than 41")
    assert modify(MasterUserPassword="Another-pass-2")["DBInstanceStatus"] == "resetting-master-credentials"
    settle()
    assert modify(EngineVersion="9.7", LicenseModel="general-public-license")["DBInstanceStatus"] == "available", "as it is already"
    refused("InvalidParameterCombination", modify, LicenseModel="postgresql-license")
    refused("UnsupportedParameter", modify, EngineVersion="8.4", says="it stays 9.7.4; make another one and carry the data over with mysqldump")
    refused("UnsupportedParameter", lambda **m: modify("mymariadb", **m), EngineVersion="10.11", says="mariadb-dump")
    logs = modify(CloudwatchLogsExportConfiguration={"EnableLogTypes": ["slowquery", "iam-db-auth-error"]})
    assert logs["EnabledCloudwatchLogsExports"] == ["iam-db-auth-error", "slowquery"]
    assert rds.reboot_db_instance(DBInstanceIdentifier="mymysql")["DBInstance"]["DBInstanceStatus"] == "rebooting"
    settle()


def clusters():
    made = rds.create_db_cluster(**new_cluster("mycluster", EngineVersion="8.4", DatabaseName="orders", EnableIAMDatabaseAuthentication=True))["DBCluster"]
    assert made["EngineVersion"] == "8.4.mysql_aurora.8.4.7" and made["Engine"] == "aurora-mysql" and made["Port"] >= 3306
    assert made["DBClusterParameterGroup"] == "default.aurora-mysql8.4" and made["DatabaseName"] == "orders"
    assert made["DBClusterOptionGroupMemberships"][0]["DBClusterOptionGroupName"] == "default:aurora-mysql-8-4"
    member = dict(DBInstanceIdentifier="mycluster-1", DBClusterIdentifier="mycluster", Engine="aurora-mysql", DBInstanceClass="db.r6g.large")
    refused("InvalidParameterCombination", rds.create_db_instance, **{**member, "Engine": "mysql"}, says="doesn't match the engine name of your DB cluster (aurora-mysql)")
    refused("InvalidParameterCombination", rds.create_db_instance, **member, EngineVersion="9.7", says="does not match the engine version")
    one = rds.create_db_instance(**member, EngineVersion="8.4.mysql_aurora.8.4.7")["DBInstance"]
    assert one["LicenseModel"] == "general-public-license" and one["StorageType"] == "aurora"
    assert one["DBParameterGroups"][0]["DBParameterGroupName"] == "default.aurora-mysql8.4"
    settle()
    one = instance("mycluster-1")
    assert one["Endpoint"]["Port"] == made["Port"] and one["IAMDatabaseAuthenticationEnabled"] and one["DBName"] == "orders"

    for says, more in {
        "shorter than 8 or longer than 41": dict(MasterUserPassword="a" * 42),
        "DatabaseName must begin with a letter": dict(DatabaseName="1orders"),
        "Database name performance_schema cannot be used": dict(DatabaseName="performance_schema"),
        "mariadb has no DB clusters; use CreateDBInstance": dict(Engine="mariadb"),
    }.items():
        refused("InvalidParameterValue", rds.create_db_cluster, **new_cluster("c", **more), says=says)
    refused("UnsupportedParameter", rds.create_db_cluster, **new_cluster("c", Engine="mysql"), says="use CreateDBInstance, or aurora-mysql")
    refused("UnsupportedParameter", rds.create_db_cluster, **new_cluster("c", BacktrackWindow=3600), says="BacktrackWindow")
    refused("UnsupportedParameter", rds.create_db_cluster, **new_cluster("c", BackupRetentionPeriod=7), says="mysqldump")
    refused("InvalidParameterCombination", rds.create_db_cluster, **new_cluster("c", EngineVersion="8.4.7"), says="installed on this machine: 9.7.mysql_aurora.9.7.4, 8.4.mysql_aurora.8.4.7")
    refused("InvalidParameterCombination", rds.create_db_cluster, **new_cluster("c", EnableCloudwatchLogsExports=["postgresql"]), says="instance")

    modify = lambda **more: rds.modify_db_cluster(DBClusterIdentifier="mycluster", **more)["DBCluster"]
    off = modify(EnableIAMDatabaseAuthentication=False, ApplyImmediately=True)
    assert off["Status"] == "update-iam-db-auth" and instance("mycluster-1")["DBInstanceStatus"] == "configuring-iam-database-authentication"
    settle()
    refused("InvalidParameterValue", modify, MasterUserPassword="a" * 42, says="longer than 41")
    refused("UnsupportedParameter", modify, MasterUserAuthenticationType="iam-db-auth", says="AWSAuthenticationPlugin")
    refused("DBClusterNotFoundFault", rds.modify_db_cluster, DBClusterIdentifier="none", MasterUserPassword=PASSWORD)


def parameter_groups():
    def values(describe, group, **more):
        name = "DBClusterParameterGroupName" if "cluster" in describe else "DBParameterGroupName"
        pages = rds.get_paginator(describe).paginate(**{name: group}, **more)
        return {p["ParameterName"]: p for page in pages for p in page["Parameters"]}

    names = [g["DBParameterGroupName"] for g in rds.describe_db_parameter_groups()["DBParameterGroups"]]
    assert {f"default.{family}" for family in ("mysql8.4", "mysql9.7", "mariadb10.6", "mariadb10.11", "aurora-mysql8.4", "aurora-mysql9.7")} < set(names)
    for family, has, lacks, forced in (
        ("mysql8.4", "transaction_isolation", "tx_isolation", "1"), ("mariadb10.11", "tx_isolation", "transaction_isolation", "0"),
    ):
        known = values("describe_db_parameters", f"default.{family}")
        assert known["require_secure_transport"]["ParameterValue"] == forced and known["require_secure_transport"]["Source"] == "system"
        assert has in known and lacks not in known and list(known) == sorted(known)
        assert known["max_connections"]["ApplyType"] == "dynamic" and known["performance_schema"]["ApplyType"] == "static"
        assert not any(name in known for name in ("rds.force_ssl", "ssl_ca", "port", "plugin_dir", "init_connect", "skip_grant_tables", "secure_file_priv"))
    assert "require_secure_transport" not in values("describe_db_parameters", "default.aurora-mysql9.7")
    assert "require_secure_transport" in values("describe_db_cluster_parameters", "default.aurora-mysql9.7")

    def set_to(*parameters, group="mine", call=rds.modify_db_parameter_group, named="DBParameterGroupName"):
        keys = ("ParameterName", "ParameterValue", "ApplyMethod")
        return call(**{named: group, "Parameters": [dict(zip(keys, p)) for p in parameters]})

    made = rds.create_db_parameter_group(DBParameterGroupName="mine", DBParameterGroupFamily="mysql9.7", Description="d")["DBParameterGroup"]
    assert made["DBParameterGroupFamily"] == "mysql9.7" and made["DBParameterGroupArn"] == f"{ARN}:pg:mine"
    refused("InvalidParameterValue", rds.create_db_parameter_group, DBParameterGroupName="x", DBParameterGroupFamily="mysql5.7", Description="d", says="mariadb10.11, mariadb10.6, mysql8.4, mysql9.7")
    rds.modify_db_instance(DBInstanceIdentifier="mymysql", DBParameterGroupName="mine")
    refused("InvalidParameterCombination", rds.modify_db_instance, DBInstanceIdentifier="mymariadb", DBParameterGroupName="mine", says="with DBParameterGroupFamily mysql9.7 can't be used")
    refused("InvalidParameterCombination", rds.modify_db_instance, DBInstanceIdentifier="exact", DBParameterGroupName="mine", says="with DBParameterGroupFamily mysql8.4")
    settle()
    rds.reboot_db_instance(DBInstanceIdentifier="mymysql")
    settle()
    status = lambda: instance("mymysql")["DBParameterGroups"][0]["ParameterApplyStatus"]
    assert status() == "in-sync"
    set_to(("require_secure_transport", "0", "immediate"), ("sql_mode", "STRICT_TRANS_TABLES,NO_ZERO_DATE", "immediate"), ("time_zone", "+02:00", "immediate"))
    assert status() == "applying"
    settle()
    assert status() == "in-sync"
    set_to(("performance_schema", "0", "pending-reboot"))
    settle()
    assert status() == "pending-reboot"
    assert values("describe_db_parameters", "mine", Source="user")["require_secure_transport"]["ParameterValue"] == "0"
    for says, parameter in {
        "Could not find parameter with name: rds.force_ssl": ("rds.force_ssl", "0", "immediate"),
        "Could not find parameter with name: init_connect": ("init_connect", "SET autocommit=0", "immediate"),
        "Could not find parameter with name: tx_isolation": ("tx_isolation", "SERIALIZABLE", "immediate"),
        "allowed values are: 0,1,OFF,ON": ("require_secure_transport", "maybe", "immediate"),
        "allowed values are: offsets from UTC": ("time_zone", "Europe/Berlin", "immediate"),
        "Invalid parameter value": ("innodb_buffer_pool_size", "{DBInstanceClassMemory*3/4}", "immediate"),
    }.items():
        refused("InvalidParameterValue", lambda **_: set_to(parameter), says=says)
    refused("InvalidParameterCombination", lambda **_: set_to(("performance_schema", "1", "immediate")), says="cannot use immediate apply method for static parameter")
    rds.reset_db_parameter_group(DBParameterGroupName="mine", ResetAllParameters=True)
    settle()
    refused("InvalidDBParameterGroupState", rds.delete_db_parameter_group, DBParameterGroupName="mine", says="still members")
    rds.modify_db_instance(DBInstanceIdentifier="mymysql", DBParameterGroupName="default.mysql9.7")
    rds.delete_db_parameter_group(DBParameterGroupName="mine")
    settle()

    rds.create_db_cluster_parameter_group(DBClusterParameterGroupName="shared", DBParameterGroupFamily="aurora-mysql8.4", Description="d")
    of_cluster = dict(group="shared", call=rds.modify_db_cluster_parameter_group, named="DBClusterParameterGroupName")
    set_to(("require_secure_transport", "ON", "immediate"), ("character_set_server", "utf8mb4", "immediate"), **of_cluster)
    rds.modify_db_cluster(DBClusterIdentifier="mycluster", DBClusterParameterGroupName="shared")
    settle()
    refused("InvalidParameterCombination", rds.modify_db_cluster, DBClusterIdentifier="mycluster", DBClusterParameterGroupName="default.aurora-mysql9.7", says="aurora-mysql8.4")
    rds.modify_db_cluster(DBClusterIdentifier="mycluster", DBClusterParameterGroupName="default.aurora-mysql8.4")
    rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName="shared")
    settle()


def ending():
    refused("InvalidParameterCombination", rds.stop_db_instance, DBInstanceIdentifier="mycluster-1", says="aurora-mysql DB instances are not eligible")
    assert rds.stop_db_instance(DBInstanceIdentifier="mymariadb")["DBInstance"]["DBInstanceStatus"] == "stopping"
    settle()
    assert rds.start_db_instance(DBInstanceIdentifier="mymariadb")["DBInstance"]["DBInstanceStatus"] == "starting"
    settle()
    refused("UnsupportedParameter", rds.delete_db_instance, DBInstanceIdentifier="mymysql", FinalDBSnapshotIdentifier="s", says="mysqldump or mariadb-dump")
    for name in ("mymysql", "mymariadb", "exact"):
        assert rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)["DBInstance"]["DBInstanceStatus"] == "deleting"
    rds.delete_db_instance(DBInstanceIdentifier="mycluster-1")
    assert rds.delete_db_cluster(DBClusterIdentifier="mycluster", SkipFinalSnapshot=True)["DBCluster"]["Status"] == "deleting"
    settle()
    assert rds.describe_db_instances()["DBInstances"] == [] and rds.describe_db_clusters()["DBClusters"] == []


for part in (engine_versions, instances, modifying, clusters, parameter_groups, ending):
    part()
