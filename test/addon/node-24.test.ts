/**
 * The native addon on Node 24.
 */
import { testLine } from "./suite.js";

testLine(24);
