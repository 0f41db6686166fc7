"""What a corpus holds, for a person: figures of every recording, document and conversation, and a page of them."""
