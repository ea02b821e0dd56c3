"""A Spark cluster of our own, two executors that are processes of their own, puts a Parquet file through the kernel:
`python -m tests.anonymizer.sparking SOURCE TARGET`."""

import os
import sys
from zoneinfo import ZoneInfo

from pyspark.sql import SparkSession

from services.anonymizer.transforms import spark
from services.anonymizer.transforms.kernel import How, Spec
from services.anonymizer.transforms.keys import Keys

SPEC = Spec("pseudonymised", {"at": How.hour, "caller": How.number, "area": How.keep}, ZoneInfo("Europe/Stockholm"))
KEYS = Keys(bytes(range(32)), bytes(range(32, 64)))


def main(source: str, target: str) -> None:
    # Its workers are Pythons of their own, and are to be this one.
    os.environ |= {
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)]),
        # Three Javas for some seconds: what they compile best they would never use.
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    builder = SparkSession.builder.master("local-cluster[2,1,512]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.executor.memory", "512m").config("spark.sql.shuffle.partitions", "4")
    session = (
        builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").getOrCreate()
    )
    session.conf.set("spark.sql.session.timeZone", "UTC")
    spark.transformed(session.read.parquet(source).repartition(4), SPEC, KEYS).write.parquet(target)
    session.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
