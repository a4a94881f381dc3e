"""Every operation of RDS's that is served: what it writes, what it answers, what it refuses."""

import datetime
import re
import socket
from collections import Counter

from common import ACCOUNT, client, conforming, document, refused, settle

REGION = "eu-central-1"
ARN = f"arn:aws:rds:{REGION}:{ACCOUNT}"
PASSWORD = "Master-pass-1"
rds = client("rds")
called = Counter()
rds.meta.events.register("before-call.rds", lambda model, **_: called.update([model.name]))
conforming(rds)


def instance(name="mydb"):
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def cluster(name="mypg"):
    return rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]


def new_instance(name, **more):
    given = dict(
        DBInstanceIdentifier=name, Engine="postgres", DBInstanceClass="db.t3.micro", AllocatedStorage=20,
        MasterUsername="postgres", MasterUserPassword=PASSWORD,
    )
    given.update(more)
    return {key: value for key, value in given.items() if value is not None}


def creating_instances():
    made = rds.create_db_instance(
        **new_instance(
            "MyDb", EnableIAMDatabaseAuthentication=True, PubliclyAccessible=True, StorageType="gp3", DBName="orders",
            EngineVersion="15", VpcSecurityGroupIds=["sg-12345678"], Tags=[{"Key": "env", "Value": "a b"}],
            EnableCloudwatchLogsExports=["postgresql", "iam-db-auth-error"],
            PreferredMaintenanceWindow="Mon:03:00-Mon:04:00", MultiAZ=False, StorageEncrypted=False,
        )
    )["DBInstance"]
    assert made["DBInstanceStatus"] == "creating" and "Endpoint" not in made, made
    assert "MasterUserPassword" not in made and PASSWORD not in str(made) and made["PendingModifiedValues"] == {}
    settle()
    db = instance("mydb")
    assert db["DBInstanceIdentifier"] == "mydb" and db["DBInstanceArn"] == f"{ARN}:db:mydb", db
    assert re.fullmatch("db-[A-Z2-7]{26}", db["DbiResourceId"]) and db["DbiResourceId"] == made["DbiResourceId"]
    assert db["Endpoint"]["Address"] == "localhost" and db["Endpoint"]["Port"] >= 5432
    assert db["EngineVersion"] == "15.18" and db["MasterUsername"] == "postgres" and db["DBName"] == "orders"
    assert db["IAMDatabaseAuthenticationEnabled"] and db["PubliclyAccessible"] and not db["StorageEncrypted"]
    assert db["VpcSecurityGroups"] == [{"VpcSecurityGroupId": "sg-12345678", "Status": "active"}]
    assert db["DBParameterGroups"] == [{"DBParameterGroupName": "default.postgres15", "ParameterApplyStatus": "in-sync"}]
    assert db["DBSubnetGroup"]["DBSubnetGroupName"] == "default" and db["AvailabilityZone"] == f"{REGION}a"
    assert db["EnabledCloudwatchLogsExports"] == ["iam-db-auth-error", "postgresql"]
    assert db["PreferredMaintenanceWindow"] == "Mon:03:00-Mon:04:00" and db["PreferredBackupWindow"] == "04:00-04:30"
    assert db["CACertificateIdentifier"] == db["CertificateDetails"]["CAIdentifier"] == "rds-ca-ecc384-g1"
    assert db["BackupRetentionPeriod"] == 0 and "LatestRestorableTime" not in db
    assert db["TagList"] == [{"Key": "env", "Value": "a b"}] and db["AllocatedStorage"] == 20
    assert datetime.datetime.now(datetime.UTC) - db["InstanceCreateTime"] < datetime.timedelta(minutes=1)

    refused("DBInstanceAlreadyExists", rds.create_db_instance, **new_instance("MYDB"), status=400, says="DB instance already exists")
    for says, more in {
        "is not a valid identifier": dict(DBInstanceIdentifier="my--db"),
        "Invalid DB engine": dict(Engine="oracle-ee"),
        "Invalid DB Instance class": dict(DBInstanceClass="t3.micro"),
        "reserved word": dict(MasterUsername="user"),
        "Only printable ASCII": dict(MasterUserPassword="with/slash"),
        "shorter than 8": dict(MasterUserPassword="short"),
        "Port": dict(Port=1149),
        "Invalid storage size": dict(AllocatedStorage=5),
        "Invalid availability zone": dict(AvailabilityZone="us-east-1a"),
        "Invalid security group": dict(VpcSecurityGroupIds=["default"]),
        "PreferredMaintenanceWindow": dict(PreferredMaintenanceWindow="sunday"),
        "aws:": dict(Tags=[{"Key": "aws:x", "Value": "y"}]),
    }.items():
        refused("InvalidParameterValue", rds.create_db_instance, **new_instance("other", **more), status=400, says=says)
    for says, more in {
        "Cannot find version 13 for postgres; installed on this machine: 15.18, 17.12": dict(EngineVersion="13"),
        "DBClusterIdentifier": dict(Engine="aurora-postgresql"),
        "must not overlap": dict(PreferredMaintenanceWindow="mon:03:00-mon:04:00", PreferredBackupWindow="03:30-04:30"),
        "MonitoringRoleARN": dict(MonitoringInterval=5),
        "audit": dict(EnableCloudwatchLogsExports=["audit"]),
        "with DBParameterGroupFamily postgres15": dict(DBParameterGroupName="default.postgres17", EngineVersion="15"),
    }.items():
        refused("InvalidParameterCombination", rds.create_db_instance, **new_instance("other", **more), says=says)
    refused("DBParameterGroupNotFound", rds.create_db_instance, **new_instance("other", DBParameterGroupName="none"), status=404)
    refused("MissingParameter", rds.create_db_instance, **new_instance("other", MasterUserPassword=None), says="MasterUserPassword")
    refused("MissingParameter", rds.create_db_instance, **new_instance("other", AllocatedStorage=None), says="AllocatedStorage")
    refused("DBSubnetGroupNotFoundFault", rds.create_db_instance, **new_instance("other", DBSubnetGroupName="none"), status=404)
    refused("CertificateNotFound", rds.create_db_instance, **new_instance("other", CACertificateIdentifier="rds-ca-2019"), status=404)
    refused("OptionGroupNotFoundFault", rds.create_db_instance, **new_instance("other", OptionGroupName="mine"), status=404)
    for name, value in dict(
        StorageEncrypted=True, KmsKeyId="k", MultiAZ=True, ManageMasterUserPassword=True, Domain="d", BackupRetentionPeriod=7,
        DBSecurityGroups=["x"], PerformanceInsightsKMSKeyId="k", MasterUserAuthenticationType="iam-db-auth",
        ProcessorFeatures=[{"Name": "coreCount", "Value": "1"}],
    ).items():
        refused("UnsupportedParameter", rds.create_db_instance, **new_instance("other", **{name: value}), status=400, says=name)
    refused("DBInstanceNotFound", rds.describe_db_instances, DBInstanceIdentifier="other", status=404, says="DBInstance other not found.")


def ports():
    used = instance()["Endpoint"]["Port"]
    refused("InvalidParameterValue", rds.create_db_instance, **new_instance("p", Port=used), says=f"Port {used} is in use by the DB instance mydb in {REGION}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        refused("InvalidParameterValue", rds.create_db_instance, **new_instance("p", Port=taken), says="another program on this machine")
    elsewhere = client("rds", region_name="us-east-1")
    assert elsewhere.describe_db_instances()["DBInstances"] == [], "a region sees its own"
    elsewhere.create_db_instance(**new_instance("mydb"))
    rds.create_db_instance(**new_instance("second"))
    settle()
    other, second = elsewhere.describe_db_instances()["DBInstances"][0], instance("second")
    assert len({used, other["Endpoint"]["Port"], second["Endpoint"]["Port"]}) == 3, "no port twice, whatever the region"
    assert other["DBInstanceArn"].startswith("arn:aws:rds:us-east-1:")


def describing():
    def found(**arguments):
        return [db["DBInstanceIdentifier"] for db in rds.describe_db_instances(**arguments)["DBInstances"]]

    assert found() == ["mydb", "second"]
    assert found(DBInstanceIdentifier=f"{ARN}:db:mydb") == ["mydb"] and found(DBInstanceIdentifier="MyDb") == ["mydb"]
    filters = {
        "db-instance-id": f"{ARN}:db:second", "dbi-resource-id": instance("second")["DbiResourceId"],
    }
    for name, value in filters.items():
        assert found(Filters=[{"Name": name, "Values": [value, "x"]}]) == ["second"], name
    assert found(Filters=[{"Name": "engine", "Values": ["postgres"]}]) == ["mydb", "second"]
    assert found(Filters=[{"Name": "db-cluster-id", "Values": ["mypg"]}]) == []
    refused("InvalidParameterValue", rds.describe_db_instances, Filters=[{"Name": "x", "Values": ["y"]}], says="Unrecognized filter name: x")
    refused("InvalidParameterValue", rds.describe_db_instances, MaxRecords=10, says="Must be between 20 and 100")
    refused("InvalidParameterValue", rds.describe_db_instances, DBInstanceIdentifier=f"arn:aws:rds:us-east-1:{ACCOUNT}:db:mydb", says="in this region")


def modifying_instances():
    modify = lambda **more: rds.modify_db_instance(DBInstanceIdentifier="mydb", **more)["DBInstance"]
    waiting = modify(EnableIAMDatabaseAuthentication=False, CACertificateIdentifier="rds-ca-rsa2048-g1")
    assert waiting["DBInstanceStatus"] == "available" and waiting["IAMDatabaseAuthenticationEnabled"]
    expected = {"IAMDatabaseAuthenticationEnabled": False, "CACertificateIdentifier": "rds-ca-rsa2048-g1"}
    assert instance()["PendingModifiedValues"] == expected
    (pending,) = rds.describe_pending_maintenance_actions(ResourceIdentifier=f"{ARN}:db:mydb")["PendingMaintenanceActions"]
    assert pending["ResourceIdentifier"] == f"{ARN}:db:mydb" and len(pending["PendingMaintenanceActionDetails"]) == 2
    assert pending["PendingMaintenanceActionDetails"][0]["CurrentApplyDate"].weekday() == 0, "in its window"
    rds.reboot_db_instance(DBInstanceIdentifier="mydb")
    settle()
    assert instance()["PendingModifiedValues"] == expected, "a reboot does not carry out what waits for the window"
    applied = modify(ApplyImmediately=True)
    assert applied["DBInstanceStatus"] == "configuring-iam-database-authentication" and applied["PendingModifiedValues"] == {}
    assert not applied["IAMDatabaseAuthenticationEnabled"] and applied["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
    refused("InvalidDBInstanceState", modify, EnableIAMDatabaseAuthentication=True, says="not in available state")
    settle()
    assert rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"] == []
    modify(EnableIAMDatabaseAuthentication=True)
    assert modify(EnableIAMDatabaseAuthentication=False)["PendingModifiedValues"] == {}, "taken back"

    changed = modify(MasterUserPassword="Another-pass-2")
    assert changed["DBInstanceStatus"] == "resetting-master-credentials"
    assert changed["PendingModifiedValues"] == {"MasterUserPassword": "****"}
    settle()
    kept = modify(
        DBInstanceClass="db.m5.large", DeletionProtection=True, AllocatedStorage=40, CopyTagsToSnapshot=True,
        CloudwatchLogsExportConfiguration={"DisableLogTypes": ["postgresql"]},
    )
    assert kept["DBInstanceStatus"] == "available" and kept["DBInstanceClass"] == "db.m5.large" and kept["AllocatedStorage"] == 40
    assert kept["EnabledCloudwatchLogsExports"] == ["iam-db-auth-error"] and kept["CopyTagsToSnapshot"]
    port = instance()["Endpoint"]["Port"]
    assert modify(DBPortNumber=port, EngineVersion="15.18")["DBInstanceStatus"] == "available", "as it is already"
    for name, value in dict(DBPortNumber=port + 1, EngineVersion="17", NewDBInstanceIdentifier="x", MultiAZ=True).items():
        refused("UnsupportedParameter", modify, says=name, **{name: value})
    refused("DBInstanceNotFound", rds.modify_db_instance, DBInstanceIdentifier="other")


def running_and_ending():
    assert rds.reboot_db_instance(DBInstanceIdentifier="second")["DBInstance"]["DBInstanceStatus"] == "rebooting"
    refused("InvalidDBInstanceState", rds.stop_db_instance, DBInstanceIdentifier="second", says="Instance second is not in available state")
    settle()
    refused("InvalidParameterCombination", rds.reboot_db_instance, DBInstanceIdentifier="second", ForceFailover=True)
    refused("InvalidDBInstanceState", rds.start_db_instance, DBInstanceIdentifier="second")
    refused("UnsupportedParameter", rds.stop_db_instance, DBInstanceIdentifier="second", DBSnapshotIdentifier="s")
    assert rds.stop_db_instance(DBInstanceIdentifier="second")["DBInstance"]["DBInstanceStatus"] == "stopping"
    settle()
    assert instance("second")["DBInstanceStatus"] == "stopped"
    assert rds.start_db_instance(DBInstanceIdentifier="second")["DBInstance"]["DBInstanceStatus"] == "starting"
    settle()
    gone = dict(DBInstanceIdentifier="second")
    refused("InvalidParameterCombination", rds.delete_db_instance, **gone, says="FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.")
    refused("UnsupportedParameter", rds.delete_db_instance, **gone, FinalDBSnapshotIdentifier="s", says="FinalDBSnapshotIdentifier")
    refused("InvalidParameterCombination", rds.delete_db_instance, DBInstanceIdentifier="mydb", SkipFinalSnapshot=True, says="Cannot delete protected DB Instance, please disable deletion protection and try again.")
    assert rds.delete_db_instance(**gone, SkipFinalSnapshot=True)["DBInstance"]["DBInstanceStatus"] == "deleting"
    refused("InvalidDBInstanceState", rds.delete_db_instance, **gone, SkipFinalSnapshot=True, says="already being deleted")
    settle()
    refused("DBInstanceNotFound", rds.describe_db_instances, **gone)
    rds.get_waiter("db_instance_deleted").wait(**gone)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="mydb")


def clusters():
    create = dict(
        DBClusterIdentifier="MyPg", Engine="aurora-postgresql", MasterUsername="admin1", MasterUserPassword=PASSWORD,
        DBSubnetGroupName="default", VpcSecurityGroupIds=["sg-12345678"],
    )
    made = rds.create_db_cluster(**create)["DBCluster"]
    assert made["Status"] == "creating" and made["DBClusterIdentifier"] == "mypg" and PASSWORD not in str(made)
    assert re.fullmatch("cluster-[A-Z2-7]{26}", made["DbClusterResourceId"]) and made["EngineVersion"] == "17.12"
    assert made["Endpoint"] == made["ReaderEndpoint"] == "localhost" and made["DBClusterMembers"] == []
    refused("DBClusterAlreadyExistsFault", rds.create_db_cluster, **create, status=400)
    refused("UnsupportedParameter", rds.create_db_cluster, **{**create, "DBClusterIdentifier": "c", "Engine": "postgres"}, says="Multi-AZ")
    refused("UnsupportedParameter", rds.create_db_cluster, **{**create, "DBClusterIdentifier": "c"}, EnableHttpEndpoint=True, says="EnableHttpEndpoint")
    refused("DBClusterParameterGroupNotFound", rds.create_db_cluster, **{**create, "DBClusterIdentifier": "c"}, DBClusterParameterGroupName="none", status=404)
    refused("DBClusterNotFoundFault", rds.describe_db_clusters, DBClusterIdentifier="c", status=404, says="DBCluster c not found.")

    member = dict(DBInstanceIdentifier="mypg-1", DBClusterIdentifier="mypg", Engine="aurora-postgresql", DBInstanceClass="db.r4.large")
    joins = "The requested DB Instance will be a member of a DB Cluster. Set"
    for name, value in dict(
        MasterUserPassword=PASSWORD, MasterUsername="x", Port=6000, DBName="x", EnableIAMDatabaseAuthentication=True,
        DeletionProtection=True,
    ).items():
        refused("InvalidParameterCombination", rds.create_db_instance, **member, **{name: value}, says=joins)
    refused("InvalidParameterCombination", rds.create_db_instance, **{**member, "Engine": "postgres"}, says="doesn't match the engine name")
    refused("InvalidParameterCombination", rds.create_db_instance, **member, EngineVersion="15", says="does not match the engine version")
    refused("DBClusterNotFoundFault", rds.create_db_instance, **{**member, "DBClusterIdentifier": "none"})
    assert rds.create_db_instance(**member)["DBInstance"]["DBClusterIdentifier"] == "mypg"
    refused("InvalidDBClusterStateFault", rds.create_db_instance, **{**member, "DBInstanceIdentifier": "mypg-2"}, says="mypg-1 already")

    # While it is being created it may be modified, as scripts that do not wait do.
    early = rds.modify_db_cluster(DBClusterIdentifier="mypg", EnableIAMDatabaseAuthentication=True, ApplyImmediately=True)["DBCluster"]
    assert early["Status"] == "creating" and early["IAMDatabaseAuthenticationEnabled"]
    settle()
    pg, one = cluster(), instance("mypg-1")
    assert pg["Status"] == "available" and pg["DbClusterResourceId"] == made["DbClusterResourceId"]
    assert pg["DBClusterMembers"] == [{"DBInstanceIdentifier": "mypg-1", "IsClusterWriter": True, "DBClusterParameterGroupStatus": "in-sync", "PromotionTier": 1}]
    assert pg["DBClusterParameterGroup"] == "default.aurora-postgresql17" and pg["DBSubnetGroup"] == "default"
    assert pg["AvailabilityZones"] == [f"{REGION}{letter}" for letter in "abc"] and pg["DBClusterArn"] == f"{ARN}:cluster:mypg"
    assert one["Endpoint"]["Port"] == pg["Port"] and one["MasterUsername"] == "admin1" and one["IAMDatabaseAuthenticationEnabled"]
    assert one["VpcSecurityGroups"] == pg["VpcSecurityGroups"] and one["PromotionTier"] == 1 and not one["PubliclyAccessible"]
    endpoints = rds.describe_db_cluster_endpoints(DBClusterIdentifier="mypg")["DBClusterEndpoints"]
    assert [e["EndpointType"] for e in endpoints] == ["READER", "WRITER"] and endpoints[0]["Status"] == "available"
    writers = [{"Name": "db-cluster-endpoint-type", "Values": ["writer"]}]
    assert len(rds.describe_db_cluster_endpoints(Filters=writers)["DBClusterEndpoints"]) == 1
    resource = [{"Name": "db-cluster-resource-id", "Values": [made["DbClusterResourceId"]]}]
    assert len(rds.describe_db_clusters(Filters=resource)["DBClusters"]) == 1
    assert len(rds.describe_db_instances(Filters=[{"Name": "db-cluster-id", "Values": ["mypg"]}])["DBInstances"]) == 1

    off = rds.modify_db_cluster(DBClusterIdentifier="mypg", EnableIAMDatabaseAuthentication=False)["DBCluster"]
    assert off["Status"] == "available" and off["PendingModifiedValues"] == {"IAMDatabaseAuthenticationEnabled": False}
    off = rds.modify_db_cluster(DBClusterIdentifier="mypg", ApplyImmediately=True, MasterUserPassword="Another-pass-2")["DBCluster"]
    assert off["Status"] == "update-iam-db-auth" and not off["IAMDatabaseAuthenticationEnabled"] and "PendingModifiedValues" not in off
    assert instance("mypg-1")["DBInstanceStatus"] == "configuring-iam-database-authentication"
    refused("InvalidDBClusterStateFault", rds.modify_db_cluster, DBClusterIdentifier="mypg", EnableIAMDatabaseAuthentication=True, says="DbCluster mypg is not in available state")
    settle()
    of_cluster = "is a member of a DB Cluster. Modify database authentication for the DB Cluster using the ModifyDbCluster API."
    refused("InvalidParameterCombination", rds.modify_db_instance, DBInstanceIdentifier="mypg-1", EnableIAMDatabaseAuthentication=True, says=of_cluster)
    refused("InvalidParameterCombination", rds.stop_db_instance, DBInstanceIdentifier="mypg-1", says="not eligible for stopping and starting")

    refused("InvalidDBClusterStateFault", rds.start_db_cluster, DBClusterIdentifier="mypg")
    assert rds.stop_db_cluster(DBClusterIdentifier="mypg")["DBCluster"]["Status"] == "stopping"
    assert instance("mypg-1")["DBInstanceStatus"] == "stopping"
    settle()
    assert cluster()["Status"] == instance("mypg-1")["DBInstanceStatus"] == "stopped"
    assert rds.start_db_cluster(DBClusterIdentifier="mypg")["DBCluster"]["Status"] == "starting"
    settle()

    end = dict(DBClusterIdentifier="mypg", SkipFinalSnapshot=True)
    rds.modify_db_cluster(DBClusterIdentifier="mypg", DeletionProtection=True)
    refused("InvalidParameterCombination", rds.delete_db_cluster, **end, says="Cannot delete protected Cluster")
    rds.modify_db_cluster(DBClusterIdentifier="mypg", DeletionProtection=False)
    refused("InvalidDBClusterStateFault", rds.delete_db_cluster, **end, says="still contains DB instances in non-deleting state")
    refused("InvalidParameterCombination", rds.delete_db_cluster, DBClusterIdentifier="mypg")
    rds.delete_db_instance(DBInstanceIdentifier="mypg-1")
    assert rds.delete_db_cluster(**end)["DBCluster"]["Status"] == "deleting"
    settle()
    refused("DBClusterNotFoundFault", rds.describe_db_clusters, DBClusterIdentifier="mypg", status=404)
    rds.get_waiter("db_cluster_deleted").wait(DBClusterIdentifier="mypg")


def tags():
    arn = f"{ARN}:db:mydb"
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "team", "Value": "é"}, {"Key": "env", "Value": "c"}])
    assert rds.list_tags_for_resource(ResourceName=arn)["TagList"] == [{"Key": "env", "Value": "c"}, {"Key": "team", "Value": "é"}]
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["env", "none"])
    assert instance()["TagList"] == [{"Key": "team", "Value": "é"}] and instance()["DBInstanceStatus"] == "available"
    assert rds.list_tags_for_resource(ResourceName=f"{ARN}:pg:default.postgres15")["TagList"] == []
    refused("InvalidParameterValue", rds.add_tags_to_resource, ResourceName=f"{ARN}:pg:default.postgres15", Tags=[{"Key": "a", "Value": ""}])
    refused("DBInstanceNotFound", rds.list_tags_for_resource, ResourceName=f"{ARN}:db:other")
    refused("InvalidParameterValue", rds.list_tags_for_resource, ResourceName="mydb", says="Invalid resource name: mydb")
    refused("InvalidParameterValue", rds.list_tags_for_resource, ResourceName=f"{ARN}:dbx:mydb")
    refused("InvalidParameterValue", rds.add_tags_to_resource, ResourceName=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)], says="50 tags")


def subnet_groups():
    create = dict(DBSubnetGroupName="My.Group", DBSubnetGroupDescription="mine", SubnetIds=["subnet-0123abcd", "subnet-0123abce"])
    made = rds.create_db_subnet_group(**create)["DBSubnetGroup"]
    assert made["DBSubnetGroupName"] == "my.group" and made["SubnetGroupStatus"] == "Complete" and len(made["Subnets"]) == 2
    assert made["DBSubnetGroupArn"] == f"{ARN}:subgrp:my.group"
    refused("DBSubnetGroupAlreadyExists", rds.create_db_subnet_group, **create)
    refused("InvalidSubnet", rds.create_db_subnet_group, **{**create, "DBSubnetGroupName": "x", "SubnetIds": ["x"]})
    refused("InvalidParameterValue", rds.create_db_subnet_group, **{**create, "DBSubnetGroupName": "default"})
    changed = rds.modify_db_subnet_group(DBSubnetGroupName="my.group", SubnetIds=["subnet-0123abcf"])["DBSubnetGroup"]
    assert changed["DBSubnetGroupDescription"] == "mine" and len(changed["Subnets"]) == 1
    assert [g["DBSubnetGroupName"] for g in rds.describe_db_subnet_groups()["DBSubnetGroups"]] == ["default", "my.group"]
    rds.create_db_instance(**new_instance("inside", DBSubnetGroupName="my.group"))
    settle()
    assert not instance("inside")["PubliclyAccessible"] and instance("inside")["DBSubnetGroup"]["Subnets"]
    refused("InvalidDBSubnetGroupStateFault", rds.delete_db_subnet_group, DBSubnetGroupName="my.group", says="inside is still using it")
    refused("InvalidDBSubnetGroupStateFault", rds.delete_db_subnet_group, DBSubnetGroupName="default")
    rds.delete_db_instance(DBInstanceIdentifier="inside", SkipFinalSnapshot=True)
    settle()
    rds.delete_db_subnet_group(DBSubnetGroupName="my.group")
    refused("DBSubnetGroupNotFoundFault", rds.describe_db_subnet_groups, DBSubnetGroupName="my.group", status=404)


def parameter_groups():
    def values(describe, group, **more):
        name = "DBClusterParameterGroupName" if "cluster" in describe else "DBParameterGroupName"
        pages = rds.get_paginator(describe).paginate(**{name: group}, **more)
        return {p["ParameterName"]: p for page in pages for p in page["Parameters"]}

    create = dict(DBParameterGroupName="Mine", DBParameterGroupFamily="postgres15", Description="d")
    made = rds.create_db_parameter_group(**create)["DBParameterGroup"]
    assert made == {**create, "DBParameterGroupName": "mine", "DBParameterGroupArn": f"{ARN}:pg:mine"}
    refused("DBParameterGroupAlreadyExists", rds.create_db_parameter_group, **create)
    refused("InvalidParameterValue", rds.create_db_parameter_group, **{**create, "DBParameterGroupName": "x", "DBParameterGroupFamily": "postgres13"}, says="postgres13")
    groups = [g["DBParameterGroupName"] for g in rds.describe_db_parameter_groups()["DBParameterGroups"]]
    assert [g for g in groups if "postgres" in g] == [f"default.{e}{v}" for e in ("aurora-postgresql", "postgres") for v in (15, 17)]
    assert groups[-1] == "mine" and len(groups) == 11
    refused("DBParameterGroupNotFound", rds.describe_db_parameter_groups, DBParameterGroupName="none", status=404)

    known = values("describe_db_parameters", "default.postgres15")
    assert known["rds.force_ssl"]["ParameterValue"] == "1" and known["max_connections"]["ApplyType"] == "static"
    assert not any(name in known for name in ("ssl", "hba_file", "port", "archive_command", "shared_preload_libraries"))
    assert "rds.force_ssl" not in values("describe_db_parameters", "default.aurora-postgresql15")
    assert "rds.force_ssl" in values("describe_db_cluster_parameters", "default.aurora-postgresql15")

    def set_to(*parameters, group="mine"):
        keys = ("ParameterName", "ParameterValue", "ApplyMethod")
        return rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=[dict(zip(keys, p)) for p in parameters])

    rds.modify_db_instance(DBInstanceIdentifier="mydb", DBParameterGroupName="mine")
    assert instance()["DBInstanceStatus"] == "modifying"
    settle()
    status = lambda: instance()["DBParameterGroups"][0]["ParameterApplyStatus"]
    assert status() == "pending-reboot"
    rds.reboot_db_instance(DBInstanceIdentifier="mydb")
    settle()
    assert status() == "in-sync"
    assert set_to(("work_mem", "8192", "immediate"))["DBParameterGroupName"] == "mine"
    assert status() == "applying"
    settle()
    assert status() == "in-sync"
    set_to(("max_connections", "50", "pending-reboot"))
    settle()
    assert status() == "pending-reboot"
    mine = values("describe_db_parameters", "mine", Source="user")
    assert {name: p["ParameterValue"] for name, p in mine.items()} == {"work_mem": "8192", "max_connections": "50"}

    for says, parameter in {
        "Could not find parameter with name: ssl": ("ssl", "off", "immediate"),
        "Could not find parameter with name: shared_preload_libraries": ("shared_preload_libraries", "x", "pending-reboot"),
        "allowed values are: 6-8388607": ("max_connections", "5", "pending-reboot"),
        "Invalid parameter value": ("work_mem", "{DBInstanceClassMemory/10}", "immediate"),
    }.items():
        refused("InvalidParameterValue", lambda **_: set_to(parameter), says=says)
    refused("InvalidParameterCombination", lambda **_: set_to(("max_connections", "60", "immediate")), says="cannot use immediate apply method for static parameter")
    refused("InvalidDBParameterGroupState", lambda **_: set_to(("work_mem", "64", "immediate"), group="default.postgres15"))
    refused("InvalidDBParameterGroupState", rds.delete_db_parameter_group, DBParameterGroupName="mine", says="still members of this parameter group")

    rds.reset_db_parameter_group(DBParameterGroupName="mine", Parameters=[{"ParameterName": "work_mem", "ApplyMethod": "immediate"}])
    assert list(values("describe_db_parameters", "mine", Source="user")) == ["max_connections"]
    rds.reset_db_parameter_group(DBParameterGroupName="mine", ResetAllParameters=True)
    assert values("describe_db_parameters", "mine", Source="user") == {}
    settle()
    rds.modify_db_instance(DBInstanceIdentifier="mydb", DBParameterGroupName="default.postgres15")
    rds.delete_db_parameter_group(DBParameterGroupName="mine")

    create = dict(DBClusterParameterGroupName="shared", DBParameterGroupFamily="aurora-postgresql15", Description="d")
    made = rds.create_db_cluster_parameter_group(**create)["DBClusterParameterGroup"]
    assert made["DBClusterParameterGroupArn"] == f"{ARN}:cluster-pg:shared"
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="shared",
        Parameters=[{"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}],
    )
    assert values("describe_db_cluster_parameters", "shared", Source="user")["rds.force_ssl"]["ParameterValue"] == "0"
    rds.reset_db_cluster_parameter_group(DBClusterParameterGroupName="shared", ResetAllParameters=True)
    assert len(rds.describe_db_cluster_parameter_groups()["DBClusterParameterGroups"]) == 11
    rds.delete_db_cluster_parameter_group(DBClusterParameterGroupName="shared")
    refused("DBParameterGroupNotFound", rds.describe_db_cluster_parameter_groups, DBClusterParameterGroupName="shared", status=404)


def engines_and_certificates():
    def versions(**asked):
        return [(v["Engine"], v["EngineVersion"]) for v in rds.describe_db_engine_versions(**asked)["DBEngineVersions"]]

    assert len(versions()) == 10 and versions(Engine="postgres") == [("postgres", "15.18"), ("postgres", "17.12")]
    assert versions(Engine="postgres", DefaultOnly=True) == [("postgres", "17.12")]
    assert versions(Engine="postgres", EngineVersion="15") == [("postgres", "15.18")] and versions(Engine="db2-se") == []
    assert versions(Filters=[{"Name": "db-parameter-group-family", "Values": ["aurora-postgresql15"]}]) == [("aurora-postgresql", "15.18")]
    one = rds.describe_db_engine_versions(Engine="postgres")["DBEngineVersions"][0]
    assert one["DBParameterGroupFamily"] == "postgres15" and one["MajorEngineVersion"] == "15"
    assert one["SupportedCACertificateIdentifiers"] == ["rds-ca-ecc384-g1", "rds-ca-rsa2048-g1"]
    options = rds.describe_orderable_db_instance_options(Engine="postgres", DBInstanceClass="db.t3.micro")["OrderableDBInstanceOptions"]
    assert [o["EngineVersion"] for o in options] == ["17.12", "15.18"] and options[0]["SupportsIAMDatabaseAuthentication"]

    certificates = rds.describe_certificates()
    assert certificates["DefaultCertificateForNewLaunches"] == "rds-ca-ecc384-g1" and len(certificates["Certificates"]) == 2
    (ca,) = rds.describe_certificates(CertificateIdentifier="rds-ca-rsa2048-g1")["Certificates"]
    assert ca["CertificateArn"] == f"arn:aws:rds:{REGION}::cert:rds-ca-rsa2048-g1" and ca["CertificateType"] == "CA"
    assert re.fullmatch("[0-9a-f]{40}", ca["Thumbprint"]) and ca["ValidFrom"] < ca["ValidTill"] and not ca["CustomerOverride"]
    refused("CertificateNotFound", rds.describe_certificates, CertificateIdentifier="rds-ca-2019", status=404)


def permissions():
    iam = client("iam")
    iam.create_user(UserName="dba")
    iam.put_user_policy(UserName="dba", PolicyName="p", PolicyDocument=document(
        {"Effect": "Allow", "Action": "rds:*", "Resource": [f"{ARN}:db:team-*", f"{ARN}:pg:default.*", f"{ARN}:og:default:*", f"{ARN}:subgrp:default"]},
        {"Effect": "Allow", "Action": "rds:DescribeDBEngineVersions", "Resource": "*"},
    ))
    dba = client("rds", iam.create_access_key(UserName="dba")["AccessKey"])
    dba.create_db_instance(**new_instance("team-1"))
    settle()
    assert dba.describe_db_instances(DBInstanceIdentifier="team-1")["DBInstances"]
    dba.describe_db_engine_versions()
    says = lambda action, resource: f"User: arn:aws:iam::{ACCOUNT}:user/dba is not authorized to perform: rds:{action} on resource: {ARN}:{resource} because no identity-based policy allows the rds:{action} action"
    for action, resource, call, arguments in (
        ("CreateDBInstance", "db:other", dba.create_db_instance, new_instance("other")),
        ("CreateDBInstance", "subgrp:else", dba.create_db_instance, new_instance("team-2", DBSubnetGroupName="else")),
        ("DescribeDBInstances", "db:*", dba.describe_db_instances, {}),
        ("ModifyDBInstance", "db:mydb", dba.modify_db_instance, dict(DBInstanceIdentifier="mydb")),
        ("DeleteDBInstance", "db:nowhere", dba.delete_db_instance, dict(DBInstanceIdentifier="nowhere")),
        ("AddTagsToResource", "db:mydb", dba.add_tags_to_resource, dict(ResourceName=f"{ARN}:db:mydb", Tags=[{"Key": "a", "Value": ""}])),
        ("CreateDBCluster", "cluster:c", dba.create_db_cluster, dict(DBClusterIdentifier="c", Engine="aurora-postgresql")),
        ("ModifyDBParameterGroup", "pg:mine", dba.modify_db_parameter_group, dict(DBParameterGroupName="mine", Parameters=[])),
    ):
        refused("AccessDenied", call, status=403, says=says(action, resource), **arguments)
    refused("AccessDenied", dba.describe_certificates, says="on resource: *")
    dba.delete_db_instance(DBInstanceIdentifier="team-1", SkipFinalSnapshot=True)


for part in (
    creating_instances, ports, describing, modifying_instances, running_and_ending, clusters, tags, subnet_groups,
    parameter_groups, engines_and_certificates, permissions,
):
    part()

refused("InvalidAction", rds.describe_events)
served = {name for name in called if name != "DescribeEvents"}
assert len(served) == 37, f"{len(served)} operations were called: {sorted(served)}"
