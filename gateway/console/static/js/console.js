// Runs on every page.
import { start } from "./ui.js";

start();
