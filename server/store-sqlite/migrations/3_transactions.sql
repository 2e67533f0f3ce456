-- Schema version 3: payments are looked up by what their merchant calls them.

CREATE INDEX payment_by_transaction ON payment (account, transaction_id) WHERE transaction_id IS NOT NULL;
