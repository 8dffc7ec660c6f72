"""All checks with confluent-kafka."""

import confluent_admin  # noqa: F401
import confluent_groups  # noqa: F401
import confluent_records  # noqa: F401
from harness import main

if __name__ == "__main__":
    main()
