"""What the command needs beside the walk: worker processes and progress on the screen."""
