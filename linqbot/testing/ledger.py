"""A fake outside system, for tests: the names of `linqbot_dev.testing.ledger`."""

from linqbot_dev.testing.ledger import Ledger as Ledger
from linqbot_dev.testing.ledger import LedgerEntry as LedgerEntry
