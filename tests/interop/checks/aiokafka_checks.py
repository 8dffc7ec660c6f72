"""All checks with aiokafka: no C, and request versions that other clients have long left behind."""

import aiokafka_admin  # noqa: F401
import aiokafka_groups  # noqa: F401
import aiokafka_records  # noqa: F401
from harness import main

if __name__ == "__main__":
    main()
