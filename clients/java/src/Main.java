/** Kafka's Java clients and console tools, as judges of a broker. */
final class Main {
    public static void main(String[] args) throws Exception {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        Kit kit = new Kit();
        ToolCases.add(kit);
        GroupCases.add(kit);
        ProduceCases.add(kit);
        ConsumeCases.add(kit);
        AdminCases.add(kit);
        kit.run();
        // Threads of a case that hangs, or of a tool, must not keep the program alive.
        Runtime.getRuntime().halt(0);
    }
}
