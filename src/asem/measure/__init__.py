"""Numbers from volumes: how well a prediction fits, and later what organelles measure."""
