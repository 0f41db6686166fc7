"""Where stages keep what they made: plain files behind small handles that know nothing of Kedro."""
